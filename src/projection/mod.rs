//! Views of the log, folded by SQL. Nothing here is worth a backup: rows can be dropped at any time and fold again.
//!
//! [`folder`] holds the projections, [`fold`] folds one range of events in one transaction, [`engine`] keeps doing so as
//! the log grows, [`rebuild`] makes its rows anew beside the live ones, and [`status`](mod@status) tells how far each has
//! come. No projection reads another.

pub mod engine;
pub mod fold;
pub mod folder;
pub mod rebuild;
pub mod status;

pub use engine::{Behind, Engine};
pub use fold::{FoldError, Folded};
pub use folder::{AUDIT, BUILT_IN, CONVERSATION, Projection, USAGE};
pub use rebuild::{Difference, Rebuild, RebuildError, Rebuilt};
pub use status::{State, Status, status};
