//! The server at the other end: where a URL says it is, and whether it will do.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr as _;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection as _, PgConnection};

use super::embedded::{EmbeddedError, MAJOR_MIN};

/// Why there is no database to work with.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    #[error(transparent)]
    Embedded(#[from] EmbeddedError),

    #[error("the database URL cannot be read: write postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=…")]
    Url(#[source] sqlx::Error),

    #[error("the database at {place} cannot be reached")]
    Unreachable { place: String, source: sqlx::Error },

    #[error(
        "the database at {place} does not offer TLS: if the way there is safe, say so with ?sslmode=disable in its URL"
    )]
    NoTls { place: String, source: sqlx::Error },

    #[error("the database at {place} is PostgreSQL {version}: {MAJOR_MIN} or newer is needed")]
    TooOld { place: String, version: Version },

    #[error("starting Postgres was interrupted")]
    Interrupted(#[source] tokio::task::JoinError),
}

/// The version of a server, as a number that compares: 150018 is 15.18.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u32);

impl Version {
    pub const fn major(self) -> u32 {
        self.0 / 10_000
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major(), self.0 % 10_000)
    }
}

/// What `url` says, with TLS required where it says nothing and the way leads over a network.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, DatabaseError> {
    let options = PgConnectOptions::from_str(url).map_err(DatabaseError::Url)?;
    let unsaid = matches!(options.get_ssl_mode(), PgSslMode::Prefer) && !says_how_to_encrypt(url);
    Ok(if unsaid && !is_here(&options) { options.ssl_mode(PgSslMode::Require) } else { options })
}

/// Connects once, to ask for the version.
pub(super) async fn version(options: &PgConnectOptions) -> Result<Version, DatabaseError> {
    let failed = |source| match source {
        sqlx::Error::Tls(_) => DatabaseError::NoTls { place: place(options), source },
        source => DatabaseError::Unreachable { place: place(options), source },
    };
    let mut connection = PgConnection::connect_with(options).await.map_err(failed)?;
    let number = sqlx::query_scalar(include_str!("sql/version.sql")).fetch_one(&mut connection).await;
    let number: i32 = number.map_err(failed)?;
    let _ = connection.close().await; // we have what we wanted
    let version = Version(u32::try_from(number).unwrap_or_default());
    if version.major() < MAJOR_MIN {
        return Err(DatabaseError::TooOld { place: place(options), version });
    }
    Ok(version)
}

/// Where that is, without its password.
fn place(options: &PgConnectOptions) -> String {
    let database = options.get_database().unwrap_or_else(|| options.get_username());
    match options.get_socket() {
        Some(socket) => format!("{} ({database})", socket.display()),
        None => format!("{}:{}/{database}", options.get_host(), options.get_port()),
    }
}

fn says_how_to_encrypt(url: &str) -> bool {
    url.split_once('?').is_some_and(|(_, said)| said.contains("sslmode=") || said.contains("ssl-mode="))
}

fn is_here(options: &PgConnectOptions) -> bool {
    let host = options.get_host().trim_matches(['[', ']']);
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(url: &str) -> String {
        format!("{:?}", options(url).expect("a URL").get_ssl_mode())
    }

    #[test]
    fn the_network_is_not_trusted_unless_the_url_says_so() {
        assert_eq!(mode("postgres://u:p@db.example.org/ledger"), "Require");
        assert_eq!(mode("postgres://u:p@db.example.org/ledger?sslmode=prefer"), "Prefer");
        assert_eq!(mode("postgres://u:p@db.example.org/ledger?sslmode=disable"), "Disable");
        assert_eq!(mode("postgres://u:p@db.example.org/ledger?sslmode=verify-full"), "VerifyFull");
        for here in ["localhost", "127.0.0.1", "[::1]", "%2Fvar%2Frun%2Fpostgresql"] {
            assert_eq!(mode(&format!("postgres://u@{here}/ledger")), "Prefer", "{here}");
        }
    }

    #[test]
    fn a_place_tells_no_password() {
        let options = options("postgres://user:secret@db.example.org:6543/ledger").expect("a URL");
        assert_eq!(place(&options), "db.example.org:6543/ledger");
    }

    #[test]
    fn versions_read_as_people_write_them() {
        assert_eq!(Version(150_018).to_string(), "15.18");
        assert!(Version(140_022) < Version(150_000));
    }
}
