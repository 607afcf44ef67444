//! Views of the log, folded by SQL. Nothing here is worth a backup: rows can be dropped at any time and fold again.
//!
//! [`folder`] holds the projections, [`table`] makes their tables, [`fold`] folds one range of events in one transaction
//! (with what was [`said`] in them, where a projection needs that), [`engine`] keeps doing so as the log grows,
//! [`rebuild`] makes its rows anew beside the live ones, and [`status`](mod@status) tells how far each has come. No
//! projection reads another.

pub mod engine;
pub mod fold;
pub mod folder;
pub mod own;
pub mod rebuild;
pub mod said;
pub mod status;
mod table;

pub use engine::{Behind, Engine};
pub use fold::{FoldError, Folded, Range};
pub use folder::{BUILT_IN, CONVERSATION, Projection, SEARCH};
pub use rebuild::{Difference, Rebuild, RebuildError, Rebuilt};
pub use said::{Closed, Opener, Said, Unopened};
pub use status::{State, Status, status};
