//! Views of the log, folded by SQL. Nothing here is worth a backup: rows can be dropped at any time and fold again.
//!
//! [`folder`] holds the projections, [`own`] reads those that are not built in and [`check`] sees what they do.
//! `table` makes their tables, [`fold`] folds one range of events in one transaction (with what was [`said`] in them,
//! where a projection needs that), [`engine`] keeps doing so as the log grows, [`rebuild`] makes rows anew beside the
//! live ones (in each [`strand`] of the log by itself), `rows` compares them, [`sweep`] takes out what somebody said, and [`status`](mod@status) tells how far
//! each projection has come. No projection reads another.

pub mod check;
pub mod engine;
pub mod fold;
pub mod folder;
pub mod own;
mod projector;
pub mod rebuild;
mod renew;
pub mod rows;
pub mod said;
mod skip;
pub mod status;
pub mod strand;
pub mod sweep;
mod table;

pub use check::Trial;
pub use engine::{Behind, Engine};
pub use fold::{FoldError, Folded, Range};
pub use folder::{AUDIT, BUILT_IN, CONVERSATION, Projection, SEARCH, USAGE};
pub use rebuild::{Rebuild, RebuildError, Rebuilt};
pub use rows::Difference;
pub use said::{Closed, Opener, Said, Unopened};
pub use skip::left_out;
pub use status::{State, Status, status};
pub use strand::Strand;
