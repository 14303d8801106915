//! How often a password may be tried.

use std::collections::HashMap;
use std::net::IpAddr;

/// Tries in a row from one address.
const BURST: i64 = 5;
/// After that, one more each so many milliseconds.
const REFILL_MS: i64 = 12_000;
/// Tries in a row from all other machines together.
const BURST_OF_ALL: i64 = 60;
/// After that, one more each so many milliseconds.
const REFILL_OF_ALL_MS: i64 = 1_000;
/// Addresses that are remembered.
const ADDRESSES: usize = 4096;

/// Counts tries by address and together. It never closes for good: who waits may try again.
#[derive(Debug)]
pub struct Guard {
    by_address: HashMap<IpAddr, Bucket>,
    /// This machine is not part of it: others cannot lock out whoever sits before it.
    all: Bucket,
}

/// Tries that are left, each worth the time in which it comes back.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    left_ms: i64,
    at_ms: i64,
}

impl Bucket {
    fn full(burst: i64, refill_ms: i64, now: i64) -> Self {
        Self {
            left_ms: burst.saturating_mul(refill_ms),
            at_ms: now,
        }
    }

    /// A clock that was set back gives nothing and takes nothing.
    fn fill(&mut self, burst: i64, refill_ms: i64, now: i64) {
        let elapsed = now.saturating_sub(self.at_ms).max(0);
        let most = burst.saturating_mul(refill_ms);
        self.left_ms = self.left_ms.saturating_add(elapsed).min(most);
        self.at_ms = now;
    }

    /// Seconds until there is one, if there is none.
    fn wait_s(&self, refill_ms: i64) -> Option<u64> {
        let missing = refill_ms.saturating_sub(self.left_ms);
        u64::try_from(missing)
            .ok()
            .filter(|ms| *ms > 0)
            .map(|ms| ms.div_ceil(1000))
    }

    fn take(&mut self, refill_ms: i64) {
        self.left_ms = self.left_ms.saturating_sub(refill_ms);
    }
}

impl Guard {
    /// Nobody has tried yet.
    pub fn new(now: i64) -> Self {
        Self {
            by_address: HashMap::new(),
            all: Bucket::full(BURST_OF_ALL, REFILL_OF_ALL_MS, now),
        }
    }

    /// Takes a try from an address; if there is none left, says in how many seconds there is.
    pub fn enter(&mut self, from: IpAddr, now: i64) -> Result<(), u64> {
        let from = whose(from);
        self.all.fill(BURST_OF_ALL, REFILL_OF_ALL_MS, now);
        if self.by_address.len() >= ADDRESSES && !self.by_address.contains_key(&from) {
            self.by_address.retain(|_, bucket| {
                bucket.fill(BURST, REFILL_MS, now);
                bucket.left_ms < BURST * REFILL_MS
            });
            // As many attackers as that are held up by the count of all.
            if self.by_address.len() >= ADDRESSES {
                self.by_address.clear();
            }
        }
        let one = self
            .by_address
            .entry(from)
            .or_insert_with(|| Bucket::full(BURST, REFILL_MS, now));
        one.fill(BURST, REFILL_MS, now);
        if let Some(seconds) = one.wait_s(REFILL_MS) {
            return Err(seconds);
        }
        if !from.is_loopback() {
            if let Some(seconds) = self.all.wait_s(REFILL_OF_ALL_MS) {
                return Err(seconds);
            }
            self.all.take(REFILL_OF_ALL_MS);
        }
        one.take(REFILL_MS);
        Ok(())
    }

    /// The password was right: the tries of this address are forgotten.
    pub fn forgive(&mut self, from: IpAddr) {
        let from = whose(from);
        self.by_address.remove(&from);
        if !from.is_loopback() {
            let most = BURST_OF_ALL.saturating_mul(REFILL_OF_ALL_MS);
            self.all.left_ms = self.all.left_ms.saturating_add(REFILL_OF_ALL_MS).min(most);
        }
    }
}

/// Who an address stands for: a household has 64 bits of IPv6 to itself.
fn whose(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            let bits = v6.to_bits() >> 64 << 64;
            IpAddr::V6(bits.into())
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn tries(guard: &mut Guard, from: &str, now: i64) -> usize {
        (0..1000)
            .take_while(|_| guard.enter(ip(from), now).is_ok())
            .count()
    }

    /// A program that tries a thousand words a second finds a weak one over night.
    #[test]
    fn an_address_gets_five_tries_and_one_each_twelve_seconds() {
        let mut guard = Guard::new(0);
        assert_eq!(tries(&mut guard, "192.168.1.9", 0), 5);
        assert_eq!(guard.enter(ip("192.168.1.9"), 0), Err(12));
        assert_eq!(guard.enter(ip("192.168.1.9"), 11_000), Err(1));
        assert_eq!(tries(&mut guard, "192.168.1.9", 12_000), 1);
        // Others are not held up by it.
        assert_eq!(tries(&mut guard, "192.168.1.10", 12_000), 5);
        // A day's rest gives no more than the beginning.
        assert_eq!(tries(&mut guard, "192.168.1.9", 86_400_000), 5);
    }

    /// An attacker with a block of addresses has as many tries as it has addresses.
    #[test]
    fn a_block_of_addresses_is_one_and_all_have_a_limit() {
        let mut guard = Guard::new(0);
        assert_eq!(tries(&mut guard, "2001:db8::1", 0), 5);
        assert_eq!(tries(&mut guard, "2001:db8::ffff:2", 0), 0);
        assert_eq!(tries(&mut guard, "::ffff:10.0.0.1", 0), 5);
        assert_eq!(tries(&mut guard, "10.0.0.1", 0), 0);
        let all: usize = (2..100)
            .map(|n| tries(&mut guard, &format!("10.0.0.{n}"), 0))
            .sum();
        assert_eq!(all, 50);
    }

    /// Others' tries, or a mistyped password, keep the owner out for good.
    #[test]
    fn this_machine_is_never_locked_out_for_good() {
        let mut guard = Guard::new(0);
        for n in 0..200_u8 {
            tries(&mut guard, &format!("10.0.0.{n}"), 0);
        }
        assert_eq!(tries(&mut guard, "127.0.0.1", 0), 5);
        assert_eq!(tries(&mut guard, "::1", 0), 5);
        assert_eq!(tries(&mut guard, "127.0.0.1", 12_000), 1);
        guard.forgive(ip("127.0.0.1"));
        assert_eq!(tries(&mut guard, "127.0.0.1", 12_000), 5);
    }

    /// A clock that was set back by a year locks everybody out for that year, or gives tries.
    #[test]
    fn a_clock_that_jumps_neither_gives_nor_takes() {
        let mut guard = Guard::new(0);
        let year = 365 * 86_400_000;
        assert_eq!(tries(&mut guard, "10.0.0.1", year), 5);
        assert_eq!(tries(&mut guard, "10.0.0.1", 0), 0);
        assert_eq!(tries(&mut guard, "10.0.0.1", 12_000), 1);
        assert_eq!(guard.enter(ip("10.0.0.1"), i64::MIN), Err(12));
    }

    /// Made-up addresses fill the memory.
    #[test]
    fn few_addresses_are_remembered() {
        let mut guard = Guard::new(0);
        for n in 0..100_000_u32 {
            let _ = guard.enter(IpAddr::V4(n.into()), i64::from(n));
        }
        assert!(guard.by_address.len() <= ADDRESSES);
    }
}
