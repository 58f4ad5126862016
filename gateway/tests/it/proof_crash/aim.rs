//! Where the kills fall: each is armed for one kind of moment, and whoever lives through such a moment fires it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use tokio::sync::oneshot;

/// What has just happened, in the eyes of whoever saw it happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Moment {
    /// Whatever is below, and every frame of a run.
    Anything,
    /// A new message was acknowledged.
    Message,
    /// A decision about a tool was acknowledged, or that one was taken back.
    Decision,
    /// A call arrived at a tool that has effects.
    Effect,
    /// Half of a file has left its client.
    Uploading,
    /// An upload or the removal of a file was acknowledged.
    File,
    /// An edited message or a further answer was acknowledged.
    Branch,
    /// A change of a thread was acknowledged: a fork, another head, title or pin, its deletion, its restoring.
    Thread,
}

impl Moment {
    fn in_words(self) -> &'static str {
        match self {
            Self::Anything => "at random",
            Self::Message => "after a message",
            Self::Decision => "after a decision",
            Self::Effect => "during an effect",
            Self::Uploading => "during an upload",
            Self::File => "after an upload",
            Self::Branch => "after an edit",
            Self::Thread => "after a change of a thread",
        }
    }
}

/// How many kills of each kind, as the test asks for them and as they fell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Kills(BTreeMap<Moment, u32>);

impl Kills {
    pub(super) fn of(wanted: &[(Moment, u32)]) -> Self {
        Self(wanted.iter().copied().collect())
    }

    pub(super) fn count(&mut self, moment: Moment) {
        *self.0.entry(moment).or_default() += 1;
    }

    /// One after the other, in an order that chance says.
    pub(super) fn shuffled(&self, random: &mut Random) -> Vec<Moment> {
        let mut all: Vec<Moment> =
            self.0.iter().flat_map(|(moment, count)| (0..*count).map(move |_| *moment)).collect();
        for last in (1..all.len()).rev() {
            all.swap(last, random.index(last + 1));
        }
        all
    }
}

impl std::fmt::Display for Kills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let each: Vec<String> = self.0.iter().map(|(moment, count)| format!("{count} {}", moment.in_words())).collect();
        f.write_str(&each.join(", "))
    }
}

/// At most one kill is armed at a time.
#[derive(Default)]
pub(super) struct Aim(Mutex<Option<Armed>>);

struct Armed {
    moment: Moment,
    /// How many such moments are still let pass.
    passes: u64,
    fire: oneshot::Sender<()>,
}

impl Aim {
    /// Resolves at such a moment, after `passes` of them.
    pub(super) fn at(&self, moment: Moment, passes: u64) -> oneshot::Receiver<()> {
        let (fire, fired) = oneshot::channel();
        *self.0.lock().unwrap() = Some(Armed { moment, passes, fire });
        fired
    }

    /// It happens now.
    pub(super) fn see(&self, moment: Moment) {
        let mut armed = self.0.lock().unwrap();
        let Some(next) = armed.as_mut().filter(|next| next.moment == moment || next.moment == Moment::Anything) else {
            return;
        };
        if next.passes > 0 {
            next.passes -= 1;
        } else if let Some(next) = armed.take() {
            let _ = next.fire.send(());
        }
    }
}

/// xorshift64: enough to scatter kill points, and repeatable.
#[derive(Clone)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }

    pub(super) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    /// Chance of its own for the worker of this number.
    pub(super) fn fork(&self, number: u64) -> Self {
        let mut fork = Self((self.0 ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
        fork.below(2);
        fork
    }
}
