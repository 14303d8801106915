//! How many wrong passwords an address may try.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// How many wrong passwords an address has at once.
pub const BURST: u32 = 10;
/// How long it takes until it has one more.
pub const REFILL: Duration = Duration::from_secs(6);
/// How many addresses are remembered. Beyond it the one that is nearest to being forgiven
/// is forgotten.
const MOST: usize = 4096;

/// What each address has left. Time is an argument: how long ago something fixed was.
#[derive(Debug, Default)]
pub struct Limiter {
    /// When the address will have all its tries again; earlier by [`REFILL`] for each that
    /// it has now.
    forgiven: HashMap<IpAddr, Duration>,
}

/// What a wrong password means for the address it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It may try again.
    Counted,
    /// It was the last one for now.
    WasTheLast,
}

impl Limiter {
    /// Whether the address may try a password.
    pub fn allows(&self, now: Duration, address: IpAddr) -> bool {
        self.spent(now, network(address)) < BURST
    }

    /// Counts a wrong password.
    pub fn wrong(&mut self, now: Duration, address: IpAddr) -> Wrong {
        let network = network(address);
        if self.forgiven.len() >= MOST && !self.forgiven.contains_key(&network) {
            self.forget(now);
        }
        let spent = self.spent(now, network);
        let forgiven = self.forgiven.entry(network).or_insert(now);
        // Tries that were let in together do not add up for ever.
        let most = now.saturating_add(REFILL.saturating_mul(BURST));
        *forgiven = (*forgiven).max(now).saturating_add(REFILL).min(most);
        match spent.saturating_add(1) {
            BURST => Wrong::WasTheLast,
            _ => Wrong::Counted,
        }
    }

    fn spent(&self, now: Duration, network: IpAddr) -> u32 {
        let left = self
            .forgiven
            .get(&network)
            .map_or(Duration::ZERO, |forgiven| forgiven.saturating_sub(now));
        let spent = left.as_millis().div_ceil(REFILL.as_millis());
        u32::try_from(spent).unwrap_or(BURST)
    }

    fn forget(&mut self, now: Duration) {
        self.forgiven.retain(|_, forgiven| *forgiven > now);
        if self.forgiven.len() >= MOST {
            let nearest = self.forgiven.iter().min_by_key(|(_, forgiven)| **forgiven);
            if let Some((network, _)) = nearest.map(|(network, at)| (*network, *at)) {
                self.forgiven.remove(&network);
            }
        }
    }
}

/// Those who are one: an IPv6 network of 64 bits belongs to one, who has all its addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let network = v6.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::{BURST, Limiter, MOST, REFILL, Wrong};

    const START: Duration = Duration::from_secs(1);

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
            assert!(limiter.allows(START, guesser));
            let expected = if number == BURST {
                Wrong::WasTheLast
            } else {
                Wrong::Counted
            };
            assert_eq!(limiter.wrong(START, guesser), expected);
        }
        assert!(!limiter.allows(START, guesser));
        assert!(limiter.allows(START, address("192.168.1.8")));
        let before = START + REFILL - Duration::from_millis(1);
        assert!(!limiter.allows(before, guesser));
        let later = START + REFILL;
        assert!(limiter.allows(later, guesser));
        assert_eq!(limiter.wrong(later, guesser), Wrong::WasTheLast);
        assert!(!limiter.allows(later, guesser));
        // However many were under way when it ran out.
        for _ in 0..1000 {
            limiter.wrong(later, guesser);
        }
        assert!(limiter.allows(later + REFILL * BURST, guesser));
    }

    /// In an hour of guessing without a pause more passwords are tried than it should be.
    #[test]
    fn an_hour_of_guessing_gets_no_further() {
        let mut limiter = Limiter::default();
        let (guesser, mut tries) = (address("10.0.0.1"), 0);
        for millisecond in (0..3_600_000).step_by(50) {
            let now = START + Duration::from_millis(millisecond);
            if limiter.allows(now, guesser) {
                limiter.wrong(now, guesser);
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
            limiter.wrong(START, address(&format!("2001:db8::{number:x}")));
            limiter.wrong(START, address("::ffff:10.0.0.1"));
        }
        assert!(!limiter.allows(START, address("2001:db8::ffff:0:0:1")));
        assert!(limiter.allows(START, address("2001:db8:0:1::1")));
        assert!(!limiter.allows(START, address("10.0.0.1")));
        // Not those of the network `::/64`, in which nobody is.
        assert!(limiter.allows(START, address("::1")));
    }

    /// A guesser with many addresses fills the memory, or buys itself free with them.
    #[test]
    fn the_memory_is_bounded_and_the_worst_stay_in_it() {
        let mut limiter = Limiter::default();
        let guesser = address("10.255.0.1");
        for _ in 0..BURST {
            limiter.wrong(START, guesser);
        }
        for number in 0..20_000_u32 {
            limiter.wrong(START, IpAddr::V4(Ipv4Addr::from_bits(0x0B00_0000 + number)));
        }
        assert_eq!(limiter.forgiven.len(), MOST);
        assert!(!limiter.allows(START, guesser));
    }
}
