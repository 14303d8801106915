//! The button: what presses a person meant, from edges of a contact that bounces.

use aldis_mqtt::Instant;
use heapless::Deque;

/// What a person did with the button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Press {
    /// Pressed once, for a moment.
    Short,
    /// Pressed twice in a row.
    Double,
    /// Held; told while it still is.
    Long,
}

/// What has become certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certain {
    /// The contact is closed (`pressed`) or open, since then.
    Edge {
        /// Whether it is held.
        pressed: bool,
        /// When that began.
        at: Instant,
    },
    /// This was meant.
    Press(Press),
}

/// What a settled contact means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Up,
    /// Down for the first time, since then.
    First(Instant),
    /// Up again after a short press; another one makes it a double one.
    Between(Instant),
    Second,
    /// Told already; what it still does means nothing.
    Done,
}

/// A button.
#[derive(Debug)]
pub struct Button {
    /// What the contact was last seen to be, and since when.
    raw: bool,
    since: Instant,
    /// What it is since it has settled.
    pressed: bool,
    state: State,
    /// What is to be told, where edges came before anybody looked.
    untold: Deque<Certain, { Button::UNTOLD }>,
}

impl Button {
    /// Milliseconds for which a contact has to stay before it counts: those of small
    /// switches bounce for 5 ms, worn ones for longer.
    pub const SETTLE_MS: u32 = 20;
    /// Milliseconds from which on a press is a long one.
    pub const LONG_MS: u32 = 800;
    /// Milliseconds within which a second press makes a double one.
    pub const DOUBLE_MS: u32 = 300;
    /// As many as two edges between two looks can make certain, some times over.
    const UNTOLD: usize = 8;

    /// A button that nobody holds.
    ///
    /// One that is held from the beginning counts from when it is first told.
    pub const fn new() -> Self {
        Self {
            raw: false,
            since: Instant::from_millis(0),
            pressed: false,
            state: State::Up,
            untold: Deque::new(),
        }
    }

    /// The contact is closed (`pressed`) or open, from now on.
    pub fn contact(&mut self, pressed: bool, now: Instant) {
        if self.raw != pressed {
            // What was the case until now counts, whether anybody looked or not.
            self.settle(now);
            self.raw = pressed;
            self.since = now;
        }
    }

    /// Whether it is not yet certain what is meant.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::First(_) | State::Between(_))
    }

    /// Whether it is held, since it has settled.
    pub const fn is_pressed(&self) -> bool {
        self.pressed
    }

    /// What has become certain by now, one after the other. To be called until there is
    /// nothing more at [`Button::deadline`], and after [`Button::contact`].
    pub fn run(&mut self, now: Instant) -> Option<Certain> {
        self.settle(now);
        self.untold.pop_front()
    }

    fn tell(&mut self, certain: Certain) {
        // Somebody who plays with it while nobody looks for long is not understood.
        let _ = self.untold.push_back(certain);
    }

    fn settle(&mut self, now: Instant) {
        if self.raw == self.pressed && !self.is_open() {
            return;
        }
        let settled = self.since.after(Self::SETTLE_MS) <= now && self.raw != self.pressed;
        if settled {
            self.pressed = self.raw;
        }
        let edge = settled.then_some(self.pressed);
        let at = self.since;
        let (state, press) = match (self.state, edge) {
            (State::Up, Some(true)) => (State::First(at), None),
            // Held for long, and let go before anybody looked.
            (State::First(down), Some(false)) if down.after(Self::LONG_MS) <= at => {
                (State::Up, Some(Press::Long))
            }
            (State::First(_), Some(false)) => (State::Between(at), None),
            (State::Between(up), Some(true)) if at < up.after(Self::DOUBLE_MS) => {
                (State::Second, Some(Press::Double))
            }
            (State::Between(_), Some(true)) => (State::First(at), Some(Press::Short)),
            (State::Second | State::Done, Some(false)) => (State::Up, None),
            (state, _) => (state, None),
        };
        self.state = state;
        // A press that ends where another begins was before it.
        if let Some(press) = press.filter(|press| *press == Press::Short) {
            self.tell(Certain::Press(press));
        }
        if let Some(pressed) = edge {
            self.tell(Certain::Edge { pressed, at });
        }
        if let Some(press) = press.filter(|press| *press != Press::Short) {
            return self.tell(Certain::Press(press));
        }
        let (state, press) = match self.state {
            State::First(down) if down.after(Self::LONG_MS) <= now => {
                (State::Done, Some(Press::Long))
            }
            // A contact that has just closed may still become the second press.
            State::Between(up) if up.after(Self::DOUBLE_MS) <= now && !self.raw => {
                (State::Up, Some(Press::Short))
            }
            state => (state, None),
        };
        self.state = state;
        if let Some(press) = press {
            self.tell(Certain::Press(press));
        }
    }

    /// When [`Button::run`] has something to say at the latest.
    pub fn deadline(&self) -> Instant {
        let settled = match self.raw != self.pressed {
            true => self.since.after(Self::SETTLE_MS),
            false => Instant::NEVER,
        };
        let meant = match self.state {
            State::First(down) => down.after(Self::LONG_MS),
            State::Between(up) if !self.raw => up.after(Self::DOUBLE_MS),
            _ => Instant::NEVER,
        };
        let untold = match self.untold.is_empty() {
            true => Instant::NEVER,
            false => self.since,
        };
        settled.min(meant).min(untold)
    }
}

impl Default for Button {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// Plays edges, running the button at each of its deadlines, until `end`.
    fn play(edges: &[(u64, bool)], end: u64) -> Vec<(u64, Press)> {
        let mut button = Button::new();
        let mut pressed = Vec::new();
        let mut run = |button: &mut Button, at: u64| {
            while let Some(certain) = button.run(Instant::from_millis(at)) {
                if let Certain::Press(press) = certain {
                    pressed.push((at, press));
                }
            }
        };
        for at in 0..=end {
            for edge in edges.iter().filter(|edge| edge.0 == at) {
                button.contact(edge.1, Instant::from_millis(at));
                run(&mut button, at);
            }
            if button.deadline() <= Instant::from_millis(at) {
                run(&mut button, at);
                assert!(
                    button.deadline() > Instant::from_millis(at),
                    "it spins at {at}"
                );
            }
        }
        pressed
    }

    /// A press that means something else than the person meant.
    #[test]
    fn presses_are_told_apart() {
        let short = [(1_000, true), (1_150, false)];
        assert_eq!(play(&short, 5_000), [(1_450, Press::Short)]);
        let double = [(1_000, true), (1_100, false), (1_250, true), (1_350, false)];
        assert_eq!(play(&double, 5_000), [(1_270, Press::Double)]);
        let long = [(1_000, true), (4_000, false)];
        assert_eq!(play(&long, 9_000), [(1_800, Press::Long)]);
        let two = [(1_000, true), (1_100, false), (1_600, true), (1_700, false)];
        assert_eq!(
            play(&two, 5_000),
            [(1_400, Press::Short), (2_000, Press::Short)]
        );
        // The second press begins just in time, and settles after it.
        let late = [(1_000, true), (1_100, false), (1_390, true), (1_500, false)];
        assert_eq!(play(&late, 5_000), [(1_410, Press::Double)]);
        // A second press that is held stays a double one.
        let held = [(1_000, true), (1_100, false), (1_200, true), (9_000, false)];
        assert_eq!(play(&held, 12_000), [(1_220, Press::Double)]);
    }

    /// A contact that bounces presses ten times.
    #[test]
    fn a_contact_that_bounces_presses_once() {
        let mut edges = Vec::new();
        for at in 0..7 {
            edges.push((1_000 + at * 2, at % 2 == 0));
            edges.push((1_200 + at * 2, at % 2 != 0));
        }
        assert_eq!(play(&edges, 5_000), [(1_512, Press::Short)]);
        // A spike is no press.
        assert_eq!(play(&[(1_000, true), (1_015, false)], 5_000), []);
    }

    /// A button that something lies on sends a reply each second, for an hour.
    #[test]
    fn held_for_an_hour_is_one_long_press() {
        let hour = [(1_000, true), (3_601_000, false)];
        assert_eq!(play(&hour, 3_700_000), [(1_800, Press::Long)]);
        let mut button = Button::new();
        button.contact(true, Instant::from_millis(0));
        let edge = Certain::Edge {
            pressed: true,
            at: Instant::from_millis(0),
        };
        assert_eq!(button.run(Instant::from_millis(20)), Some(edge));
        // Nobody looked meanwhile.
        let late = Instant::from_millis(3_600_000);
        assert_eq!(button.run(late), Some(Certain::Press(Press::Long)));
        assert_eq!(button.run(late), None);
        assert_eq!(button.deadline(), Instant::NEVER);
    }

    /// A press that is over before anybody looks is lost, or is taken for a spike.
    #[test]
    fn what_happens_between_two_looks_counts() {
        let mut button = Button::new();
        let at = Instant::from_millis;
        for (ms, pressed) in [(1_000, true), (1_100, false), (1_400, true), (1_700, false)] {
            button.contact(pressed, at(ms));
        }
        assert!(button.deadline() <= at(1_700));
        let mut certain = Vec::new();
        while let Some(what) = button.run(at(2_100)) {
            certain.push(what);
        }
        let edge = |ms, pressed| Certain::Edge {
            pressed,
            at: at(ms),
        };
        let short = Certain::Press(Press::Short);
        let presses = [
            edge(1_000, true),
            edge(1_100, false),
            short,
            edge(1_400, true),
            edge(1_700, false),
            short,
        ];
        assert_eq!(certain, presses);
        assert_eq!(button.deadline(), Instant::NEVER);
    }

    proptest! {
        /// A button that stays pressed, or spins, after some sequence of edges.
        #[test]
        fn every_sequence_comes_to_rest(
            edges in proptest::collection::vec((0u64..400, any::<bool>()), 0..60),
        ) {
            let mut at = 0;
            let mut played = Vec::new();
            for (wait, pressed) in edges {
                at += wait;
                played.push((at, pressed));
            }
            played.push((at + 1, false));
            let presses = play(&played, at + 2_000);
            let downs = played.iter().filter(|edge| edge.1).count();
            prop_assert!(presses.len() <= downs);
            let last = presses.last().map_or(0, |press| press.0);
            prop_assert!(last <= at + 1 + 320 + 20);
        }
    }
}
