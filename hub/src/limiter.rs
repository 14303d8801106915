//! How many wrong passwords of a user an address may try.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use rmqtt::net::network;

/// How many wrong passwords of a user an address has at once.
pub const BURST: u32 = 10;
/// How long it takes until it has one more.
pub const REFILL: Duration = Duration::from_secs(6);
/// How much is remembered. Beyond it the one that is nearest to being forgiven
/// is forgotten.
const MOST: usize = 4096;

/// What each address has left for each user. Time is an argument: how long ago something fixed
/// was.
///
/// A program with an old password, or for a user who is not there any more, must not keep others
/// at its address from coming in; so each known user counts alone, and all unknown ones together.
#[derive(Debug, Default)]
pub struct Limiter {
    /// When all tries will be there again; earlier by [`REFILL`] for each that is there now.
    forgiven: HashMap<Key, Duration>,
}

/// Where from, and whose password, if there is such a user.
type Key = (IpAddr, Option<String>);

/// What a wrong password means for the address it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It may try again.
    Counted,
    /// It was the last one for now.
    WasTheLast,
}

impl Limiter {
    /// Whether the address may try a password of this user, or of one who is unknown.
    pub fn allows(&self, now: Duration, address: IpAddr, user: Option<&str>) -> bool {
        self.spent(now, &key(address, user)) < BURST
    }

    /// Counts a wrong password.
    pub fn wrong(&mut self, now: Duration, address: IpAddr, user: Option<&str>) -> Wrong {
        let key = key(address, user);
        if self.forgiven.len() >= MOST && !self.forgiven.contains_key(&key) {
            self.forget(now);
        }
        let spent = self.spent(now, &key);
        let forgiven = self.forgiven.entry(key).or_insert(now);
        // Tries that were let in together do not add up for ever.
        let most = now.saturating_add(REFILL.saturating_mul(BURST));
        *forgiven = (*forgiven).max(now).saturating_add(REFILL).min(most);
        match spent.saturating_add(1) {
            BURST => Wrong::WasTheLast,
            _ => Wrong::Counted,
        }
    }

    fn spent(&self, now: Duration, key: &Key) -> u32 {
        let left = self
            .forgiven
            .get(key)
            .map_or(Duration::ZERO, |forgiven| forgiven.saturating_sub(now));
        let spent = left.as_millis().div_ceil(REFILL.as_millis());
        u32::try_from(spent).unwrap_or(BURST)
    }

    fn forget(&mut self, now: Duration) {
        self.forgiven.retain(|_, forgiven| *forgiven > now);
        if self.forgiven.len() >= MOST {
            let nearest = self.forgiven.iter().min_by_key(|(_, forgiven)| **forgiven);
            if let Some(key) = nearest.map(|(key, _)| key.clone()) {
                self.forgiven.remove(&key);
            }
        }
    }
}

fn key(address: IpAddr, user: Option<&str>) -> Key {
    (network(address), user.map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::{BURST, Limiter, MOST, REFILL, Wrong};

    const START: Duration = Duration::from_secs(1);
    const ANN: Option<&str> = Some("ann");

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// Passwords can be guessed as fast as the network carries them, or an address stays
    /// locked out for ever.
    #[test]
    fn tries_run_out_and_come_back_one_by_one() {
        let mut limiter = Limiter::default();
        let guesser = address("192.168.1.9");
        for number in 1..=BURST {
            assert!(limiter.allows(START, guesser, ANN));
            let expected = if number == BURST {
                Wrong::WasTheLast
            } else {
                Wrong::Counted
            };
            assert_eq!(limiter.wrong(START, guesser, ANN), expected);
        }
        assert!(!limiter.allows(START, guesser, ANN));
        assert!(limiter.allows(START, address("192.168.1.8"), ANN));
        let before = START + REFILL - Duration::from_millis(1);
        assert!(!limiter.allows(before, guesser, ANN));
        let later = START + REFILL;
        assert!(limiter.allows(later, guesser, ANN));
        assert_eq!(limiter.wrong(later, guesser, ANN), Wrong::WasTheLast);
        assert!(!limiter.allows(later, guesser, ANN));
        // However many were under way when it ran out.
        for _ in 0..1000 {
            limiter.wrong(later, guesser, ANN);
        }
        assert!(limiter.allows(later + REFILL * BURST, guesser, ANN));
    }

    /// In an hour of guessing without a pause more passwords are tried than it should be.
    #[test]
    fn an_hour_of_guessing_gets_no_further() {
        let mut limiter = Limiter::default();
        let (guesser, mut tries) = (address("10.0.0.1"), 0);
        for millisecond in (0..3_600_000).step_by(50) {
            let now = START + Duration::from_millis(millisecond);
            if limiter.allows(now, guesser, ANN) {
                limiter.wrong(now, guesser, ANN);
                tries += 1;
            }
        }
        assert!((600..=611).contains(&tries), "{tries}");
    }

    /// One machine has as many IPv6 addresses as it likes, or one IPv4 address in two forms.
    #[test]
    fn addresses_of_one_machine_count_together() {
        let mut limiter = Limiter::default();
        for number in 0..BURST {
            limiter.wrong(START, address(&format!("2001:db8::{number:x}")), ANN);
            limiter.wrong(START, address("::ffff:10.0.0.1"), ANN);
        }
        assert!(!limiter.allows(START, address("2001:db8::ffff:0:0:1"), ANN));
        assert!(limiter.allows(START, address("2001:db8:0:1::1"), ANN));
        assert!(!limiter.allows(START, address("10.0.0.1"), ANN));
        // Not those of the network `::/64`, in which nobody is.
        assert!(limiter.allows(START, address("::1"), ANN));
    }

    /// A program with an old password, or for a user who is gone, locks out others beside it.
    #[test]
    fn each_known_user_counts_alone_and_the_unknown_together() {
        let mut limiter = Limiter::default();
        let here = address("127.0.0.1");
        for _ in 0..BURST {
            limiter.wrong(START, here, None);
        }
        assert!(!limiter.allows(START, here, None));
        assert!(limiter.allows(START, here, ANN));
        for _ in 0..BURST {
            limiter.wrong(START, here, ANN);
        }
        assert!(!limiter.allows(START, here, ANN));
        assert!(limiter.allows(START, here, Some("bob")));
    }

    /// A guesser with many addresses fills the memory, or buys itself free with them.
    #[test]
    fn the_memory_is_bounded_and_the_worst_stay_in_it() {
        let mut limiter = Limiter::default();
        let guesser = address("10.255.0.1");
        for _ in 0..BURST {
            limiter.wrong(START, guesser, ANN);
        }
        for number in 0..20_000_u32 {
            limiter.wrong(
                START,
                IpAddr::V4(Ipv4Addr::from_bits(0x0B00_0000 + number)),
                ANN,
            );
        }
        assert_eq!(limiter.forgiven.len(), MOST);
        assert!(!limiter.allows(START, guesser, ANN));
    }
}
