//! How long a connection may be quiet, found by experience.
//!
//! A router that translates addresses forgets a connection on which nothing passed for
//! too long: some after minutes, a few after less than one. What is sent next gets no
//! answer, or a reset, although broker and path are well, and what the broker sent
//! meanwhile is lost on the way until then. So where that happened twice, the broker
//! is asked sooner, and later less soon again, to see whether the router has changed.

use aldis_mqtt::{Cause, Instant, Network};

/// What is known of the path.
#[derive(Debug)]
pub(crate) struct Quiet {
    /// The keep-alive: the broker wants to hear something that often.
    most_ms: u32,
    /// How long it may be quiet at present.
    limit_ms: u32,
    /// The connection was lost after it had been quiet for so long, at this moment.
    suspected: Option<(u32, Instant)>,
    /// How often that was so, and the shortest quiet of these.
    strikes: u8,
    shortest_ms: u32,
    /// So much is known to be too long, and for how long that is believed.
    broke_ms: u32,
    belief_ms: u32,
    forget_at: Instant,
    /// When a longer quiet is tried.
    raise_at: Instant,
    /// When the connection was accepted, while there is one.
    connected_at: Option<Instant>,
}

impl Quiet {
    /// Below this, quiet is no reason: routers keep connections for longer, and asking
    /// more often would cost more than it saves.
    pub const LEAST_MS: u32 = 10_000;
    /// If the path was well, the next connection comes within this.
    const PROMPT_MS: u64 = 5_000;
    /// So many losses are no accident.
    const STRIKES: u8 = 2;
    /// After so long, a loss says nothing about those before.
    const HOUR_MS: u32 = 3_600_000;
    /// How long a bound is believed at first, and at most: it doubles each time it is
    /// found again.
    const DAY_MS: u32 = 86_400_000;
    const DAYS_MS: u32 = 8 * Self::DAY_MS;

    pub fn new(keep_alive_s: u16) -> Self {
        let most_ms = u32::from(keep_alive_s).saturating_mul(1_000);
        Self {
            most_ms,
            limit_ms: most_ms,
            suspected: None,
            strikes: 0,
            shortest_ms: u32::MAX,
            broke_ms: u32::MAX,
            belief_ms: Self::DAY_MS / 2,
            forget_at: Instant::NEVER,
            raise_at: Instant::NEVER,
            connected_at: None,
        }
    }

    /// How long it may be quiet, in milliseconds; zero where there is no keep-alive.
    pub const fn limit_ms(&self) -> u32 {
        self.limit_ms
    }

    /// The connection is gone. Its last answer came at `answered_at`, and an answer
    /// would have been waited for `patience_ms`.
    pub fn lost(&mut self, cause: Cause, answered_at: Instant, patience_ms: u32, now: Instant) {
        let Some(since) = self.connected_at.take() else {
            return;
        };
        if now.since(since) > Self::HOUR_MS.into() {
            self.strikes = 0;
            self.shortest_ms = u32::MAX;
        }
        let waited_ms = match cause {
            Cause::Silent => patience_ms,
            Cause::Network(Network::Reset | Network::TimedOut) => 0,
            _ => return,
        };
        let quiet_ms = now.since(answered_at).saturating_sub(waited_ms.into());
        let quiet_ms = u32::try_from(quiet_ms).unwrap_or(u32::MAX);
        if quiet_ms >= Self::LEAST_MS {
            self.suspected = Some((quiet_ms, now));
        }
    }

    /// The broker accepted a connection. Says whether the limit is another from now on.
    pub fn connected(&mut self, now: Instant) -> bool {
        self.connected_at = Some(now);
        let Some((quiet_ms, lost_at)) = self.suspected.take() else {
            return false;
        };
        if self.most_ms == 0 || now.since(lost_at) > Self::PROMPT_MS {
            // Then broker or path were away.
            return false;
        }
        self.strikes = self.strikes.saturating_add(1);
        self.shortest_ms = self.shortest_ms.min(quiet_ms);
        if self.strikes < Self::STRIKES {
            return false;
        }
        if self.broke_ms == u32::MAX {
            self.belief_ms = self.belief_ms.saturating_mul(2).min(Self::DAYS_MS);
        }
        self.broke_ms = self.shortest_ms;
        self.strikes = 0;
        self.shortest_ms = u32::MAX;
        self.forget_at = now.after(self.belief_ms);
        self.raise_at = now.after(Self::HOUR_MS);
        // Well below it, so that the bound is soon found; then it is approached slowly.
        let lower_ms = self.broke_ms / 2;
        self.set(lower_ms.max(Self::LEAST_MS).min(self.limit_ms))
    }

    /// Looks at the time. Says whether the limit is another from now on.
    pub fn run(&mut self, now: Instant) -> bool {
        if self.forget_at <= now {
            self.forget_at = Instant::NEVER;
            self.broke_ms = u32::MAX;
        }
        if self.raise_at > now {
            return false;
        }
        let longer_ms = self.limit_ms.saturating_add(self.limit_ms / 4);
        let known_ms = (self.broke_ms / 8).saturating_mul(7);
        let limit_ms = longer_ms.min(known_ms).min(self.most_ms);
        self.raise_at = match limit_ms {
            most_ms if most_ms >= self.most_ms => Instant::NEVER,
            _ => now.after(Self::HOUR_MS),
        };
        self.set(limit_ms.max(self.limit_ms))
    }

    fn set(&mut self, limit_ms: u32) -> bool {
        let changed = self.limit_ms != limit_ms;
        self.limit_ms = limit_ms;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A path that forgets what was quiet for `idle_ms`, and a device that has nothing
    /// to say but its questions.
    struct Path {
        quiet: Quiet,
        idle_ms: u32,
        now: u64,
        losses: u32,
    }

    impl Path {
        fn new(keep_alive_s: u16, idle_ms: u32) -> Self {
            let mut quiet = Quiet::new(keep_alive_s);
            quiet.connected(at(0));
            Self {
                quiet,
                idle_ms,
                now: 0,
                losses: 0,
            }
        }

        /// Asks and asks again for so long.
        fn run(&mut self, ms: u64) {
            let end = self.now + ms;
            while self.now < end {
                let answered = self.now;
                self.now += u64::from(self.quiet.limit_ms());
                if self.quiet.limit_ms() >= self.idle_ms {
                    self.now += 5_000;
                    self.losses += 1;
                    self.quiet
                        .lost(Cause::Silent, at(answered), 5_000, at(self.now));
                    self.now += 400;
                    self.quiet.connected(at(self.now));
                }
                self.quiet.run(at(self.now));
            }
        }
    }

    fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    const HOUR: u64 = 3_600_000;
    const DAY: u64 = 24 * HOUR;

    /// A router that forgets after four minutes, and a keep-alive of five: the device
    /// would be lost each five minutes for ever.
    #[test]
    fn what_a_path_bears_is_found() {
        for idle_s in [20, 60, 240, 299] {
            let mut path = Path::new(300, idle_s * 1_000);
            path.run(HOUR / 2);
            let limit_ms = path.quiet.limit_ms();
            assert!(limit_ms < idle_s * 1_000, "{idle_s}: {limit_ms}");
            assert!(path.losses <= 8, "{idle_s}: {}", path.losses);
            // It is approached: asking more often than needed costs something.
            path.run(DAY);
            assert!(path.losses <= 14, "{idle_s}: {}", path.losses);
            let limit_ms = path.quiet.limit_ms();
            assert!(limit_ms * 2 > idle_s * 1_000, "{idle_s}: {limit_ms}");
            // The router may be another one day; looking costs little.
            let before = path.losses;
            path.run(30 * DAY);
            let more = path.losses - before;
            assert!((1..=20).contains(&more), "{idle_s}: {more}");
        }
    }

    /// Two losses months apart are no sign of a path that forgets, however a connection
    /// between them that held for long came to its end.
    #[test]
    fn a_connection_that_held_acquits_the_path() {
        let closed = Cause::Network(Network::Closed);
        for (held_ms, cause, changes) in [
            (HOUR / 2, closed, true),
            (2 * HOUR, closed, false),
            (2 * HOUR, Cause::TakenOver, false),
        ] {
            let mut quiet = Quiet::new(300);
            let mut now = 0;
            quiet.connected(at(now));
            let lose = |quiet: &mut Quiet, now: u64| {
                let answered = now - 65_000;
                quiet.lost(Cause::Silent, at(answered), 5_000, at(now));
            };
            now += 100_000;
            lose(&mut quiet, now);
            assert!(!quiet.connected(at(now + 400)));
            now += held_ms;
            quiet.lost(cause, at(now), 5_000, at(now));
            assert!(!quiet.connected(at(now + 400)));
            now += 100_000;
            lose(&mut quiet, now);
            assert_eq!(
                quiet.connected(at(now + 400)),
                changes,
                "{held_ms} {cause:?}"
            );
        }
    }

    /// Another router is there: the old one's bound would cost questions for ever.
    #[test]
    fn a_bound_is_forgotten() {
        let mut path = Path::new(300, 60_000);
        path.run(HOUR);
        assert!(path.quiet.limit_ms() < 60_000);
        path.idle_ms = u32::MAX;
        path.run(3 * DAY);
        assert_eq!(path.quiet.limit_ms(), 300_000);
    }

    /// The broker would give up a client that asks less often than it promised.
    #[test]
    fn the_keep_alive_is_the_most() {
        let mut path = Path::new(60, u32::MAX);
        path.run(7 * DAY);
        assert_eq!((path.quiet.limit_ms(), path.losses), (60_000, 0));
        let none = Path::new(0, 1);
        assert_eq!(none.quiet.limit_ms(), 0);
    }

    /// A broker that was away, a connection that was never quiet, one accident: none of
    /// these says anything about a router.
    #[test]
    fn other_losses_are_no_reason() {
        let lose = |quiet: &mut Quiet, cause, answered, lost, back| {
            quiet.lost(cause, at(answered), 5_000, at(lost));
            quiet.connected(at(back))
        };
        let reset = Cause::Network(Network::Reset);
        let closed = Cause::Network(Network::Closed);
        for (cause, answered, lost, back) in [
            (Cause::Silent, 0, 60_000, 65_001), // it took long to come back
            (Cause::Silent, 50_000, 60_000, 60_100),
            (reset, 55_000, 60_000, 60_100),
            (closed, 0, 60_000, 60_100),
            (Cause::Stalled, 0, 60_000, 60_100),
        ] {
            let mut quiet = Quiet::new(60);
            for round in 0..9 {
                let base = round * 100_000;
                quiet.connected(at(base));
                let changed = lose(&mut quiet, cause, base + answered, base + lost, base + back);
                assert!(!changed, "{cause:?}");
            }
            assert_eq!(quiet.limit_ms(), 60_000, "{cause:?}");
        }
        let mut quiet = Quiet::new(60);
        quiet.connected(at(0));
        assert!(!lose(&mut quiet, reset, 0, 60_000, 60_400));
        // Long after the first.
        let later = 2 * HOUR;
        assert!(!lose(
            &mut quiet,
            reset,
            later,
            later + 60_000,
            later + 60_400
        ));
        assert!(lose(
            &mut quiet,
            reset,
            later + 60_400,
            later + 120_400,
            later + 120_800
        ));
        assert_eq!(quiet.limit_ms(), 30_000);
    }

    /// Losses without a connection before them were not quiet ones.
    #[test]
    fn attempts_say_nothing() {
        let mut quiet = Quiet::new(60);
        for round in 1..9 {
            let now = at(round * 100_000);
            quiet.lost(Cause::Silent, at(0), 5_000, now);
            assert!(round == 1 || !quiet.connected(now));
            quiet.lost(Cause::ConnectTimeout, at(0), 5_000, now);
        }
        assert_eq!(quiet.limit_ms(), 60_000);
    }
}
