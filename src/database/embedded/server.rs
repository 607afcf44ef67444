//! A running server: one child process and the thread that looks after it.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::EmbeddedError;
use super::account::Account;
use super::binaries::Binaries;
use super::leftover;
use crate::clock::Clock;

/// How often the thread looks whether the server still runs.
const PATROL: Duration = Duration::from_millis(250);
/// How long it waits before it starts a server again that could not be started.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a server may take to write its memory to disk and end, before it is told to end at once.
const FAREWELL: Duration = Duration::from_mins(1);
/// A log file that has grown beyond this is put aside at the next start.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// What the server is told beyond its own defaults.
const SETTINGS: [(&str, &str); 8] = [
    // The socket is the only way in.
    ("listen_addresses", ""),
    ("port", "5432"),
    ("max_connections", "100"),
    ("shared_buffers", "256MB"),
    ("max_wal_size", "2GB"),
    // Compiling a query costs more than any of ours takes.
    ("jit", "off"),
    // A ledger may grow from nothing to a million events in a minute; plans are made by statistics that are at hand.
    ("autovacuum_naptime", "10s"),
    // Without the detail of an error: it would copy rows, and what they say, into a file.
    ("log_error_verbosity", "terse"),
];

/// All that starting a server takes.
pub(super) struct Launch {
    pub(super) binaries: Binaries,
    pub(super) account: Account,
    pub(super) cluster: PathBuf,
    /// The directory of its socket.
    pub(super) socket: PathBuf,
    pub(super) log: PathBuf,
    /// Added to [`SETTINGS`], or instead of them.
    pub(super) settings: Vec<(String, String)>,
}

/// A server that is started again when it dies, until it is stopped.
pub(super) struct Server {
    stop: Option<Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl Server {
    /// Returns when the server answers.
    ///
    /// The kernel ties the server's life to the thread that starts it: this one lives as long as the server.
    pub(super) fn start(launch: Launch) -> Result<Self, EmbeddedError> {
        let (stop, stopped) = mpsc::channel();
        let (ready, readied) = mpsc::channel();
        let keep = move || match launch.start() {
            Ok(child) => {
                let _ = ready.send(Ok(()));
                keep(&launch, child, &stopped);
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
        let keeper = thread::Builder::new().name("postgres".to_owned()).spawn(keep);
        let keeper = keeper.map_err(EmbeddedError::at("starting a thread for", "postgres"))?;
        let server = Self { stop: Some(stop), keeper: Some(keeper) };
        match readied.recv() {
            Ok(Ok(())) => Ok(server),
            Ok(Err(error)) => Err(error),
            Err(gone) => Err(EmbeddedError::at("waiting for", "postgres")(io::Error::other(gone))),
        }
    }

    /// Returns when the server has written all it knows to disk and ended.
    pub(super) fn stop(&mut self) {
        self.stop.take();
        if self.keeper.take().is_some_and(|keeper| keeper.join().is_err()) {
            tracing::error!("the thread that kept Postgres panicked");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

fn keep(launch: &Launch, mut child: Child, stopped: &Receiver<()>) {
    while stopped.recv_timeout(PATROL) == Err(RecvTimeoutError::Timeout) {
        if let Ok(Some(status)) = child.try_wait() {
            tracing::error!(%status, log = %launch.log.display(), "Postgres ended by itself: starting it again");
            match revive(launch, stopped) {
                Some(revived) => child = revived,
                None => return,
            }
        }
    }
    farewell(&mut child);
}

fn revive(launch: &Launch, stopped: &Receiver<()>) -> Option<Child> {
    loop {
        match launch.start() {
            Ok(child) => return Some(child),
            Err(error) => tracing::error!(%error, "Postgres could not be started again"),
        }
        if stopped.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            return None;
        }
    }
}

/// Asks the server to end sessions, write to disk and go; insists when it does not.
fn farewell(child: &mut Child) {
    let began = Clock::instant();
    let mut asked = Signal::INT;
    let _ = kill_process(Pid::from_child(child), asked);
    while let Ok(None) = child.try_wait() {
        if began.elapsed() > FAREWELL && asked == Signal::INT {
            tracing::warn!("Postgres does not end: it will recover from its log at the next start");
            asked = Signal::QUIT;
            let _ = kill_process(Pid::from_child(child), asked);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Launch {
    fn start(&self) -> Result<Child, EmbeddedError> {
        leftover::clear(&self.cluster, &self.socket)?;
        let log = self.open_log().map_err(EmbeddedError::at("opening", &self.log))?;
        let program = self.binaries.program("postgres");
        let mut child = self.command(&program, log).spawn().map_err(EmbeddedError::at("running", &program))?;
        let began = Clock::instant();
        let mut patient = Duration::from_secs(10);
        while !answers(&self.cluster, child.id()) {
            if let Some(status) = child.try_wait().map_err(EmbeddedError::at("waiting for", &program))? {
                return Err(EmbeddedError::Exited { status, log: self.log.clone(), said: self.log_end() });
            }
            if began.elapsed() > patient {
                // Recovery from the log after a crash takes as long as it takes.
                tracing::info!(log = %self.log.display(), "Postgres is still starting");
                patient += Duration::from_secs(10);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(child)
    }

    fn command(&self, program: &Path, log: (File, File)) -> Command {
        let mut command = self.account.command(program);
        command.arg("-D").arg(&self.cluster).arg("-k").arg(&self.socket);
        let settings = SETTINGS.iter().map(|(name, value)| format!("{name}={value}"));
        // The last one of a name counts.
        for setting in settings.chain(self.settings.iter().map(|(name, value)| format!("{name}={value}"))) {
            command.arg("-c").arg(setting);
        }
        // A group of its own: the terminal's Ctrl-C is for us, who then stop the server in order.
        command.stdout(log.0).stderr(log.1).process_group(0);
        #[cfg(target_os = "linux")]
        die_with_us(&mut command);
        command
    }

    /// The log, twice: for what is said and for what is complained of.
    fn open_log(&self) -> io::Result<(File, File)> {
        if fs::metadata(&self.log).is_ok_and(|log| log.len() > LOG_BYTES_MAX) {
            fs::rename(&self.log, self.log.with_extension("log.old"))?;
        }
        let log = File::options().create(true).append(true).open(&self.log)?;
        Ok((log.try_clone()?, log))
    }

    fn log_end(&self) -> String {
        let mut end = Vec::new();
        let read = File::open(&self.log).and_then(|mut log| {
            let length = log.metadata()?.len();
            log.seek(SeekFrom::Start(length.saturating_sub(1024)))?;
            log.read_to_end(&mut end)
        });
        match read {
            Ok(_) => String::from_utf8_lossy(&end).trim().to_owned(),
            Err(error) => format!("(it cannot be read: {error})"),
        }
    }
}

/// Has the kernel ask the server to end when the thread that starts it ends, however that happens.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)] // the one place: std offers no other way to act between fork and exec
fn die_with_us(command: &mut Command) {
    let us = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe calls are allowed. The closure makes two system calls
    // (prctl, getppid) and allocates nothing: an `io::Error` of a code or a kind is a plain value. It runs after the
    // change of user, which would reset what prctl set.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(Signal::INT))?;
            // We may have died before the line above.
            if rustix::process::getppid() == Some(us) { Ok(()) } else { Err(io::ErrorKind::Interrupted.into()) }
        });
    }
}

/// Whether the cluster's pid file says that `process` is ready. It is asked for by id, since the file may be that of an
/// earlier server.
fn answers(cluster: &Path, process: u32) -> bool {
    let Ok(file) = fs::read_to_string(cluster.join("postmaster.pid")) else { return false };
    let mut lines = file.lines().map(str::trim);
    lines.next() == Some(process.to_string().as_str()) && lines.nth(6) == Some("ready")
}
