//! `convoledger rebuild`

use std::fmt::Write as _;
use std::num::{NonZeroU32, NonZeroUsize};
use std::process::ExitCode;
use std::thread;

use anyhow::Context as _;
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::MultiProgress;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::Place;
use super::output::{bar, complain, say, say_json};
use super::projections::{difference_json, difference_text};
use crate::event::Position;
use crate::projection::{Rebuild, RebuildError, Rebuilt};

/// More only wait for the disk.
const WORKERS_MAX: usize = 8;

/// Makes views anew from the log, and puts them in place of the live ones.
///
/// The live view is read and folded on meanwhile; the new rows are compared with it, what differs is listed, and both
/// change places in one transaction. What was live is kept for --rollback, until the next rebuild or --drop-old. A
/// rebuild that is stopped goes on where it was. Exits 1 when a view differs from what the log folds to.
#[derive(Debug, Args)]
pub(super) struct RebuildCommand {
    /// The views; all when none is named
    #[arg(value_name = "NAME")]
    views: Vec<String>,
    /// Use all cores, for several views and several parts of one: for when no server runs, or may be slow
    #[arg(long, conflicts_with_all = ["rollback", "drop_old", "throttle"])]
    offline: bool,
    /// Compare only: the live rows stay, the new ones are dropped
    #[arg(long, conflicts_with_all = ["rollback", "drop_old"])]
    compare: bool,
    /// Fold so many events a second at most
    #[arg(long, value_name = "EVENTS", conflicts_with_all = ["rollback", "drop_old"])]
    throttle: Option<NonZeroU32>,
    /// Put the former rows in place again, and keep the present ones as the former
    #[arg(long, conflicts_with = "drop_old")]
    rollback: bool,
    /// Drop the former rows
    #[arg(long)]
    drop_old: bool,
    /// Print one JSON document: {"rebuilt": [...]}
    #[arg(long)]
    json: bool,
}

impl RebuildCommand {
    pub(super) async fn run(self, place: &Place) -> anyhow::Result<ExitCode> {
        let views = match place.views(&self.views) {
            Ok(views) => views,
            Err(error) => {
                complain(&format!("{error:#}"));
                return Ok(ExitCode::from(2));
            }
        };
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let workers = if self.offline { cores.min(WORKERS_MAX) } else { 1 };
        let workshop = place.workshop(&views, workers).await?;
        let stop = CancellationToken::new();
        let interrupt = tokio::spawn({
            let stop = stop.clone();
            async move {
                if tokio::signal::ctrl_c().await.is_ok() {
                    stop.cancel();
                }
            }
        });
        let (order, bars) = (&self, &MultiProgress::new());
        let rebuilds = views.iter().map(|projection| {
            let (pool, opener) = (&workshop.pool, &*workshop.opener);
            let rebuild =
                Rebuild { projection, pool, opener, throttle: order.throttle, strands: workers, stop: stop.clone() };
            async move {
                let became = order.one(&rebuild, bars).await;
                let became = became.with_context(|| format!("rebuilding `{}`", projection.name))?;
                anyhow::Ok(Done { name: projection.name.to_string(), became })
            }
        });
        let done: anyhow::Result<Vec<Done>> = stream::iter(rebuilds).buffered(workers).try_collect().await;
        interrupt.abort();
        workshop.close().await;
        let done = done?;
        if self.json {
            say_json(&json!({ "rebuilt": done.iter().map(Done::json).collect::<Vec<_>>() }))?;
        } else {
            for done in &done {
                say(&done.text());
            }
        }
        Ok(if done.iter().any(Done::has_drifted) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    async fn one(&self, rebuild: &Rebuild<'_>, bars: &MultiProgress) -> Result<Became, RebuildError> {
        if self.rollback {
            return rebuild.roll_back().await.map(|()| Became::RolledBack);
        }
        if self.drop_old {
            return rebuild.drop_old().await.map(Became::Dropped);
        }
        let progress = bars.add(bar(0, "{msg:16} {bar:40} {human_pos}/{human_len} events, {per_sec}, {eta}"));
        progress.set_message(rebuild.projection.name.to_string());
        let told = |position: Position, head: Position| {
            progress.set_length(head.0.unsigned_abs());
            progress.set_position(position.0.unsigned_abs());
        };
        let rebuilt = if self.compare {
            rebuild.compare(told).await.map(Became::Compared)
        } else {
            rebuild.replace(told).await.map(Became::Replaced)
        };
        progress.finish_and_clear();
        rebuilt
    }
}

/// What was done to one view.
struct Done {
    name: String,
    became: Became,
}

enum Became {
    Replaced(Rebuilt),
    Compared(Rebuilt),
    RolledBack,
    /// Whether there was anything to drop.
    Dropped(bool),
}

impl Done {
    /// Whether rows of this very folder were not what the log folds to.
    fn has_drifted(&self) -> bool {
        let (Became::Replaced(rebuilt) | Became::Compared(rebuilt)) = &self.became else { return false };
        !rebuilt.outdated && rebuilt.differences.as_ref().is_some_and(|differences| !differences.is_empty())
    }

    fn text(&self) -> String {
        let name = &self.name;
        let (rebuilt, place) = match &self.became {
            Became::Replaced(rebuilt) => (rebuilt, "in place"),
            Became::Compared(rebuilt) => (rebuilt, "compared and dropped"),
            Became::RolledBack => return format!("{name}: the former rows are in place again"),
            Became::Dropped(true) => return format!("{name}: the former rows are dropped"),
            Became::Dropped(false) => return format!("{name}: there were no former rows"),
        };
        let mut text = format!("{name}: made anew up to event {}, {place}", rebuilt.position.0);
        match &rebuilt.differences {
            None => text.push_str("; there were no live rows at that event to compare with"),
            Some(differences) if differences.is_empty() => text.push_str("; the live rows were the same"),
            Some(differences) => {
                let why = if rebuilt.outdated { " (they were of another version of the view)" } else { "" };
                let _ = write!(text, "; the live rows differed{why}:");
                text.extend(differences.iter().map(difference_text));
            }
        }
        text
    }

    fn json(&self) -> Value {
        let (became, rebuilt) = match &self.became {
            Became::Replaced(rebuilt) => ("replaced", Some(rebuilt)),
            Became::Compared(rebuilt) => ("compared", Some(rebuilt)),
            Became::RolledBack => ("rolled back", None),
            Became::Dropped(_) => ("dropped", None),
        };
        json!({
            "name": self.name,
            "became": became,
            "position": rebuilt.map(|rebuilt| rebuilt.position),
            "outdated": rebuilt.map(|rebuilt| rebuilt.outdated),
            "differences": rebuilt
                .and_then(|rebuilt| rebuilt.differences.as_ref())
                .map(|differences| differences.iter().map(difference_json).collect::<Vec<_>>()),
        })
    }
}
