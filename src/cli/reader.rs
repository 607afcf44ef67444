//! Who reads what may be another's, and why: options of every command that shows it.

use clap::Args;

use crate::event::{ConversationId, Reading};
use crate::service::{Actor, EnterError, Service};

#[derive(Debug, Args)]
pub(super) struct Reader {
    /// Why it is read, when it is another's: it is recorded, and told to them
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// A token of whoever reads; nobody is told of what is one's own
    #[arg(long, value_name = "TOKEN", env = "CONVOLEDGER_TOKEN", hide_env_values = true)]
    token: Option<String>,
}

impl Reader {
    /// Has it recorded that what is `owner`'s is read, unless its owner does. To be called before anything is shown.
    pub(super) async fn enter(
        &self,
        service: &Service,
        owner: Actor,
        what: Reading,
        conversation: Option<ConversationId>,
    ) -> Result<(), EnterError> {
        service.enter(owner, self.token.as_deref(), what, conversation, self.reason.as_deref()).await
    }
}
