//! The rules for branches: pointers to tips. Creating one costs one event, however long its path.

use super::{Bound, Conversation, Refusal, Tag};
use crate::event::{
    BranchCreated, BranchNumber, BranchPreferred, BranchRenamed, Event, MessageId, Place, Private, Token,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Branch {
    /// Its newest message; none while it is empty.
    pub tip: Option<Place>,
    /// The message below which it began.
    pub forked_from: Option<Place>,
    /// Its name, if it was given one; `main` goes without.
    pub name: Option<Token>,
}

#[derive(Debug, Clone)]
pub struct CreateBranch {
    pub from: MessageId,
    pub name: Tag,
}

/// What the first branch is called, and no other may be.
const MAIN: &str = "main";

pub(super) fn create(state: &Conversation, create: CreateBranch) -> Result<Vec<Event>, Refusal> {
    state.growing()?;
    let at = state.message(create.from)?;
    free(state, &create.name, None)?;
    let (message, token, name) = (create.from, create.name.token, Private::Known(create.name.word));
    Ok(vec![BranchCreated { branch: state.next_branch(), message, at, token, name }.into()])
}

pub(super) fn rename(state: &Conversation, branch: BranchNumber, name: Tag) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    state.tip(branch)?;
    if state.branches[branch.index()].name == Some(name.token) {
        return Ok(Vec::new());
    }
    free(state, &name, Some(branch))?;
    Ok(vec![BranchRenamed { branch, token: name.token, name: Private::Known(name.word) }.into()])
}

pub(super) fn prefer(state: &Conversation, branch: BranchNumber) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    state.tip(branch)?;
    Ok(if state.preferred == branch { Vec::new() } else { vec![BranchPreferred { branch }.into()] })
}

fn free(state: &Conversation, name: &Tag, except: Option<BranchNumber>) -> Result<(), Refusal> {
    Bound::BRANCH_NAME.filled(&name.word)?;
    let taken = (1..)
        .map(BranchNumber)
        .zip(&state.branches)
        .any(|(number, branch)| branch.name == Some(name.token) && Some(number) != except);
    if taken || name.word.trim().eq_ignore_ascii_case(MAIN) { Err(Refusal::BranchNameTaken) } else { Ok(()) }
}

pub(super) fn created(state: &mut Conversation, created: &BranchCreated) {
    let at = Some(created.at);
    state.branches.push(Branch { tip: at, forked_from: at, name: Some(created.token) });
}

pub(super) fn renamed(state: &mut Conversation, renamed: &BranchRenamed) {
    if let Some(branch) = state.branches.get_mut(renamed.branch.index()) {
        branch.name = Some(renamed.token);
    }
}

impl Conversation {
    pub(super) fn tip(&self, branch: BranchNumber) -> Result<Option<Place>, Refusal> {
        self.branches.get(branch.index()).map(|branch| branch.tip).ok_or(Refusal::NoSuchBranch { branch })
    }

    /// The branch that goes on from `tip`: the preferred one before others, the older before the younger.
    pub(super) fn branch_at(&self, tip: Option<Place>) -> Option<BranchNumber> {
        let here = |number: &BranchNumber| self.branches.get(number.index()).is_some_and(|branch| branch.tip == tip);
        Some(self.preferred).filter(here).or_else(|| (1..).map(BranchNumber).take(self.branches.len()).find(here))
    }

    pub(super) fn next_branch(&self) -> BranchNumber {
        BranchNumber(i32::try_from(self.branches.len() + 1).unwrap_or(i32::MAX))
    }
}

impl BranchNumber {
    /// Where it stands in [`Conversation::branches`].
    pub(super) fn index(self) -> usize {
        usize::try_from(self.0 - 1).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::scenario::*;
    use super::super::{Act, AppendMessage, Below};
    use super::*;
    use crate::event::Role;

    fn create(from: u8, name: &str) -> Act {
        Act::CreateBranch(CreateBranch { from: id(from), name: tag(name) })
    }

    #[test]
    fn a_branch_continues_its_message_until_that_has_a_child() {
        let on_second = AppendMessage::text(id(3), Role::User, "here").below(Below::Branch(BranchNumber(2)));
        let state =
            given([started()]).and(say(1)).and(create(1, "idea")).and(say(2)).and(Act::Append(on_second)).state();
        assert_eq!(state.tree.path(state.branches[0].tip), [id(1), id(2)]);
        assert_eq!(state.tree.path(state.branches[1].tip), [id(1), id(3)]);
    }

    #[test]
    fn names_are_told_apart_by_their_tokens() {
        let two = given([started()]).and(say(1)).and(create(1, "idea"));
        two.clone().when(create(1, "idea")).refused(Refusal::BranchNameTaken);
        two.clone().when(create(1, "Main")).refused(Refusal::BranchNameTaken);
        let number = BranchNumber(2);
        two.clone().when(Act::RenameBranch { branch: number, name: tag("idea") }).then([]);
        let main = BranchNumber::MAIN;
        two.when(Act::RenameBranch { branch: main, name: tag("idea") }).refused(Refusal::BranchNameTaken);
    }

    #[test]
    fn a_branch_that_is_not_there_is_refused() {
        let branch = BranchNumber(5);
        given([started()]).when(Act::PreferBranch { branch }).refused(Refusal::NoSuchBranch { branch });
    }
}
