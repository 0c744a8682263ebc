//! What one command takes where hosts may be away: steps that somebody carries out, one after another.
//!
//! Whoever plays a script does what it says and tells how that went. What a script guarantees,
//! whatever it hears: a source resumes only after its target was discarded or can never have run;
//! a source is removed only when the VM runs at the target; nobody guesses where a VM is.

/// Where a VM may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Where it came from.
    Source,
    /// Where it goes.
    Target,
}

/// The next step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Do {
    /// Gate the VM's packets at the source.
    Gate,
    /// Tell the directory and the peers that the VM is here.
    Place(Side),
    /// Let the target give back what waits there, and wait until that has come.
    ReturnQueue,
    /// Discard the VM at the target; refused where it runs.
    Discard,
    /// Try that until the target is there, without waiting for it.
    DiscardSomeTime,
    /// Does it run at the target? Answered by [`Heard::Yes`] or [`Heard::No`].
    RunsThere,
    /// Is its process at the source? Answered by [`Heard::Yes`] or [`Heard::No`].
    LivesHere,
    /// Let it go on at the source.
    Resume,
    /// The target's copy is a normal VM from now on.
    Keep,
    /// Remove the source's copy.
    Remove,
    /// Wait a little.
    Pause,
    /// Nothing more.
    End(End),
}

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// The first step is asked for.
    Begin,
    /// Done.
    Done,
    /// The host did not do it, or could not be asked: it may have been done.
    Failed,
    /// Yes.
    Yes,
    /// No.
    No,
}

/// How a script ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The VM runs at the source as before.
    TakenBack,
    /// The VM runs at the target.
    RunsThere,
    /// The VM does not run at the target and never will.
    NotThere,
    /// The VM is at the target and nothing of it is left at the source.
    Finished,
    /// The VM's process at the source has ended by itself.
    Gone,
    /// What an attempt left at the target could not be discarded now.
    Unclear,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Begin,
    Step(Do),
    /// Paused before this step.
    Before(Do),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ask,
    TakeBack { flipped: bool, sending: bool },
    Finish,
    Settle,
    Clear { sending: bool },
}

/// A script and where it stands.
#[derive(Debug, Clone)]
pub struct Script {
    kind: Kind,
    at: At,
}

impl Script {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            at: At::Begin,
        }
    }

    /// Finds out whether a VM in doubt runs at the target; if not, it is discarded there.
    pub fn ask() -> Self {
        Self::new(Kind::Ask)
    }

    /// Puts everything of a VM back. `flipped`: peers may have been flipped, so it may have been
    /// released. `sending`: its source may have begun to send.
    pub fn take_back(flipped: bool, sending: bool) -> Self {
        Self::new(Kind::TakeBack { flipped, sending })
    }

    /// Puts away what an attempt left at either end, before the next: of a VM that was never released.
    /// `sending`: its source may have begun to send.
    pub fn clear(sending: bool) -> Self {
        Self::new(Kind::Clear { sending })
    }

    /// Gives the source up.
    pub fn finish() -> Self {
        Self::new(Kind::Finish)
    }

    /// After a migration lost its controller: finishes a VM that runs at the target, takes any other
    /// back.
    pub fn settle() -> Self {
        Self::new(Kind::Settle)
    }

    /// Hears how the last step went and gives the next.
    pub fn next(&mut self, heard: Heard) -> Do {
        let next = match self.at {
            At::Begin => self.first(),
            At::Before(step) => step,
            At::Step(step) => match self.after(step, heard) {
                Some(next) => next,
                // Once more, later.
                None => {
                    self.at = At::Before(self.again(step));
                    return Do::Pause;
                }
            },
        };
        self.at = At::Step(next);
        next
    }

    fn first(&self) -> Do {
        match self.kind {
            Kind::Ask | Kind::Clear { .. } => Do::Discard,
            Kind::TakeBack { flipped: true, .. } => Do::Gate,
            // It was never released, so it cannot run at the target, whatever the target says or
            // whether it is there to say it.
            Kind::TakeBack { sending: true, .. } => Do::Resume,
            Kind::TakeBack { .. } => Do::DiscardSomeTime,
            Kind::Finish => Do::Keep,
            Kind::Settle => Do::RunsThere,
        }
    }

    /// What follows a step; `None` to do it, or what stands for it, again.
    fn after(&self, step: Do, heard: Heard) -> Option<Do> {
        let failed = heard == Heard::Failed;
        Some(match step {
            // What these miss is mended by what follows: the next are tried all the same.
            Do::Gate => Do::Place(Side::Source),
            Do::Place(Side::Source) => Do::ReturnQueue,
            Do::ReturnQueue => Do::Discard,
            Do::Discard if failed && matches!(self.kind, Kind::Clear { .. }) => {
                Do::End(End::Unclear)
            }
            Do::Discard if failed => Do::RunsThere,
            Do::Discard => match self.kind {
                Kind::Ask => Do::End(End::NotThere),
                Kind::Clear { sending: false } => Do::End(End::TakenBack),
                _ => Do::Resume,
            },
            Do::RunsThere => match (heard, self.kind) {
                (Heard::Yes, Kind::Ask) => Do::End(End::RunsThere),
                (Heard::Yes, _) => Do::Place(Side::Target),
                (Heard::No, Kind::Settle) => Do::Gate,
                _ => return None,
            },
            Do::Place(Side::Target) => match self.kind {
                Kind::Settle => Do::Keep,
                _ => Do::End(End::RunsThere),
            },
            Do::Resume if failed => Do::LivesHere,
            Do::LivesHere if heard == Heard::No => Do::End(End::Gone),
            Do::Resume => match self.kind {
                Kind::TakeBack { flipped: false, .. } => Do::DiscardSomeTime,
                _ => Do::End(End::TakenBack),
            },
            Do::DiscardSomeTime => Do::End(End::TakenBack),
            Do::Keep if !failed => Do::Remove,
            Do::Remove if !failed => Do::End(End::Finished),
            Do::End(end) => Do::End(end),
            Do::LivesHere | Do::Keep | Do::Remove | Do::Pause => return None,
        })
    }

    /// The step that stands for one that is to be done again.
    fn again(&self, step: Do) -> Do {
        match (step, self.kind) {
            (Do::LivesHere, _) => Do::Resume,
            (Do::RunsThere, Kind::Settle) => Do::RunsThere,
            (Do::RunsThere, _) => Do::Discard,
            (other, _) => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plays a script against answers; the steps it took.
    fn play(mut script: Script, answer: impl Fn(Do, usize) -> Heard) -> Vec<Do> {
        let mut steps = vec![script.next(Heard::Begin)];
        while !matches!(steps.last(), Some(Do::End(_)) | None) && steps.len() < 60 {
            let step = steps[steps.len() - 1];
            let times = steps.iter().filter(|one| **one == step).count();
            steps.push(script.next(answer(step, times)));
        }
        steps
    }

    #[test]
    fn a_vm_that_was_never_released_needs_no_word_of_the_target() {
        let steps = play(Script::take_back(false, true), |_, _| Heard::Done);
        assert_eq!(
            steps,
            [Do::Resume, Do::DiscardSomeTime, Do::End(End::TakenBack)]
        );
    }

    #[test]
    fn a_released_vm_resumes_at_the_source_only_after_the_target_has_discarded_it() {
        let steps = play(Script::take_back(true, true), |step, times| match step {
            Do::Discard if times < 3 => Heard::Failed,
            Do::RunsThere if times < 2 => Heard::Failed,
            Do::RunsThere => Heard::No,
            _ => Heard::Done,
        });
        let at = |what| steps.iter().position(|step| *step == what);
        assert_eq!(steps.iter().filter(|s| **s == Do::Discard).count(), 3);
        assert!(at(Do::Resume) > at(Do::Discard));
        assert_eq!(steps.last(), Some(&Do::End(End::TakenBack)));
    }

    #[test]
    fn one_that_was_faster_stays_at_the_target() {
        let steps = play(Script::take_back(true, true), |step, _| match step {
            Do::Discard => Heard::Failed,
            Do::RunsThere => Heard::Yes,
            _ => Heard::Done,
        });
        assert!(!steps.contains(&Do::Resume));
        assert!(steps.ends_with(&[Do::Place(Side::Target), Do::End(End::RunsThere)]));
    }

    #[test]
    fn a_target_that_is_away_is_not_taken_for_one_without_the_vm() {
        let steps = play(Script::settle(), |step, times| match step {
            Do::RunsThere if times < 5 => Heard::Failed,
            Do::RunsThere => Heard::Yes,
            _ => Heard::Done,
        });
        assert!(!steps.contains(&Do::Discard) && !steps.contains(&Do::Resume));
        assert_eq!(steps.last(), Some(&Do::End(End::Finished)));
    }

    #[test]
    fn what_an_attempt_left_is_cleared_at_the_target_first_or_not_at_all() {
        let steps = play(Script::clear(true), |_, _| Heard::Done);
        assert_eq!(steps, [Do::Discard, Do::Resume, Do::End(End::TakenBack)]);
        let away = play(Script::clear(true), |_, _| Heard::Failed);
        assert_eq!(away, [Do::Discard, Do::End(End::Unclear)]);
        let fresh = play(Script::clear(false), |_, _| Heard::Done);
        assert_eq!(fresh, [Do::Discard, Do::End(End::TakenBack)]);
    }

    #[test]
    fn a_source_whose_process_has_ended_is_not_asked_for_ever() {
        let steps = play(Script::take_back(false, true), |step, _| match step {
            Do::Resume => Heard::Failed,
            Do::LivesHere => Heard::No,
            _ => Heard::Done,
        });
        assert_eq!(steps.last(), Some(&Do::End(End::Gone)));
    }
}
