//! The rules for branches: pointers to tips. Creating one costs one event, however long its path.

use super::{Bound, Conversation, Refusal, Tag};
use crate::event::{
    BranchAbandoned, BranchChosen, BranchCreated, BranchNumber, BranchPreferred, BranchRenamed, BranchResumed, Event,
    MessageId, Place, Private, Token, Version,
};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Branch {
    /// Its newest message; none while it is empty.
    pub tip: Option<Place>,
    /// The message below which it began.
    pub forked_from: Option<Place>,
    /// Its name, if it was given one; `main` goes without.
    pub name: Option<Token>,
    /// The version of the event that holds the name; 0 without one.
    pub named: Version,
    /// Given up: nothing goes on on it until it is resumed.
    pub abandoned: bool,
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
    state.open_tip(branch)?;
    Ok(if state.preferred == branch { Vec::new() } else { vec![BranchPreferred { branch }.into()] })
}

pub(super) fn abandon(state: &Conversation, branch: BranchNumber) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    state.tip(branch)?;
    if state.preferred == branch {
        return Err(Refusal::BranchPreferred { branch });
    }
    let abandoned = state.branches[branch.index()].abandoned;
    Ok(if abandoned { Vec::new() } else { vec![BranchAbandoned { branch }.into()] })
}

pub(super) fn resume(state: &Conversation, branch: BranchNumber) -> Result<Vec<Event>, Refusal> {
    state.living()?;
    state.tip(branch)?;
    let abandoned = state.branches[branch.index()].abandoned;
    Ok(if abandoned { vec![BranchResumed { branch }.into()] } else { Vec::new() })
}

/// The winner of a comparison is the preferred branch from then on.
pub(super) fn choose(
    state: &Conversation,
    branch: BranchNumber,
    mut over: Vec<BranchNumber>,
) -> Result<Vec<Event>, Refusal> {
    let preferred = prefer(state, branch)?;
    over.retain(|other| *other != branch);
    over.sort_unstable();
    over.dedup();
    if over.is_empty() {
        return Err(Refusal::Empty { what: "what the branch was chosen over" });
    }
    Bound::COMPARED.count(over.len() + 1)?;
    over.iter().try_for_each(|other| state.tip(*other).map(|_| ()))?;
    Ok(std::iter::once(BranchChosen { branch, over }.into()).chain(preferred).collect())
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
    let (name, named) = (Some(created.token), state.version);
    state.branches.push(Branch { tip: at, forked_from: at, name, named, abandoned: false });
}

pub(super) fn renamed(state: &mut Conversation, renamed: &BranchRenamed) {
    if let Some(branch) = state.branches.get_mut(renamed.branch.index()) {
        (branch.name, branch.named) = (Some(renamed.token), state.version);
    }
}

pub(super) fn set_abandoned(state: &mut Conversation, branch: BranchNumber, abandoned: bool) {
    if let Some(branch) = state.branches.get_mut(branch.index()) {
        branch.abandoned = abandoned;
    }
}

impl Conversation {
    pub(super) fn tip(&self, branch: BranchNumber) -> Result<Option<Place>, Refusal> {
        self.branches.get(branch.index()).map(|branch| branch.tip).ok_or(Refusal::NoSuchBranch { branch })
    }

    /// The tip of a branch that may go on.
    pub(super) fn open_tip(&self, branch: BranchNumber) -> Result<Option<Place>, Refusal> {
        let tip = self.tip(branch)?;
        if self.branches[branch.index()].abandoned { Err(Refusal::BranchAbandoned { branch }) } else { Ok(tip) }
    }

    /// The branch that goes on from `tip`: the preferred one before others, the older before the younger.
    pub(super) fn branch_at(&self, tip: Option<Place>) -> Option<BranchNumber> {
        let goes_on = |branch: &Branch| branch.tip == tip && !branch.abandoned;
        let here = |number: &BranchNumber| self.branches.get(number.index()).is_some_and(goes_on);
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
    fn an_abandoned_branch_rests_until_it_is_resumed() {
        let second = BranchNumber(2);
        let two = given([started()]).and(say(1)).and(create(1, "idea"));
        two.clone().when(Act::ResumeBranch { branch: second }).then([]);
        let main = BranchNumber::MAIN;
        two.clone().when(Act::AbandonBranch { branch: main }).refused(Refusal::BranchPreferred { branch: main });
        let given_up = two.and(say(2)).and(Act::AbandonBranch { branch: second });
        given_up.clone().when(Act::AbandonBranch { branch: second }).then([]);
        let on_it = AppendMessage::text(id(3), Role::User, "here").below(Below::Branch(second));
        let refusal = Refusal::BranchAbandoned { branch: second };
        given_up.clone().when(Act::Append(on_it.clone())).refused(refusal.clone());
        given_up.clone().when(Act::PreferBranch { branch: second }).refused(refusal.clone());
        given_up.clone().when(Act::ChooseBranch { branch: second, over: vec![main] }).refused(refusal);
        let state = given_up.clone().and(say_below(1, 3)).state();
        assert_eq!(state.tree.path(state.branches[2].tip), [id(1), id(3)], "a new branch begins");
        let state = given_up.and(Act::ResumeBranch { branch: second }).and(Act::Append(on_it)).state();
        assert_eq!(state.tree.path(state.branches[1].tip), [id(1), id(3)]);
    }

    #[test]
    fn the_chosen_branch_is_preferred_over_the_others() {
        let (main, second) = (BranchNumber::MAIN, BranchNumber(2));
        let two = given([started()]).and(say(1)).and(create(1, "idea"));
        let chosen = BranchChosen { branch: second, over: vec![main] };
        two.clone()
            .when(Act::ChooseBranch { branch: second, over: vec![main, second, main] })
            .then([chosen.into(), BranchPreferred { branch: second }.into()]);
        let chosen = BranchChosen { branch: main, over: vec![second] };
        two.clone().when(Act::ChooseBranch { branch: main, over: vec![second] }).then([chosen.into()]);
        let alone = Refusal::Empty { what: "what the branch was chosen over" };
        two.clone().when(Act::ChooseBranch { branch: main, over: vec![main] }).refused(alone);
        let (branch, over) = (main, vec![BranchNumber(5)]);
        two.when(Act::ChooseBranch { branch, over }).refused(Refusal::NoSuchBranch { branch: BranchNumber(5) });
    }

    #[test]
    fn a_branch_that_is_not_there_is_refused() {
        let branch = BranchNumber(5);
        given([started()]).when(Act::PreferBranch { branch }).refused(Refusal::NoSuchBranch { branch });
    }
}
