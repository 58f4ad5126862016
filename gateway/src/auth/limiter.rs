//! Wrong keys per address and minute. Who is over the limit is not looked up any more; keys that are
//! known already pass, so that a neighbour behind the same address cannot lock anybody out.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use adjutant_core::limits;
use parking_lot::Mutex;

const WINDOW: Duration = Duration::from_mins(1);
/// Addresses remembered at once; beyond, all further ones share one count.
const ADDRESSES: usize = 10_000;

#[derive(Debug, Default)]
pub struct Limiter {
    counts: Mutex<HashMap<IpAddr, Count>>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Instant,
    wrong: u32,
}

impl Limiter {
    /// Whether this address may still try keys.
    pub fn allows(&self, address: IpAddr) -> bool {
        self.allows_at(address, Instant::now())
    }

    pub fn count_wrong(&self, address: IpAddr) {
        self.count_wrong_at(address, Instant::now());
    }

    fn allows_at(&self, address: IpAddr, now: Instant) -> bool {
        let counts = self.counts.lock();
        let count = counts.get(&canonical(address)).or_else(|| {
            let full = counts.len() >= ADDRESSES;
            full.then(|| counts.get(&REST)).flatten()
        });
        count.is_none_or(|count| count.wrong < limits::WRONG_KEYS || now.duration_since(count.since) >= WINDOW)
    }

    fn count_wrong_at(&self, address: IpAddr, now: Instant) {
        let mut counts = self.counts.lock();
        let mut address = canonical(address);
        if !counts.contains_key(&address) && counts.len() >= ADDRESSES {
            counts.retain(|_, count| now.duration_since(count.since) < WINDOW);
            if counts.len() >= ADDRESSES {
                address = REST;
            }
        }
        let count = counts.entry(address).or_insert(Count { since: now, wrong: 0 });
        if now.duration_since(count.since) >= WINDOW {
            *count = Count { since: now, wrong: 0 };
        }
        count.wrong = count.wrong.saturating_add(1);
    }
}

/// Stands for all addresses that found no room of their own.
const REST: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// One address per customer of a network: IPv4 also when it comes mapped, else the IPv6 prefix of 64 bits.
fn canonical(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 1).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_tries_too_much_waits_for_a_minute_and_others_do_not() {
        let limiter = Limiter::default();
        let now = Instant::now();
        for _ in 0..limits::WRONG_KEYS {
            assert!(limiter.allows_at("2001:db8::1".parse().unwrap(), now));
            limiter.count_wrong_at("2001:db8::1".parse().unwrap(), now);
        }
        assert!(!limiter.allows_at("2001:db8::ffff".parse().unwrap(), now), "the same network");
        assert!(limiter.allows_at("2001:db8:0:1::1".parse().unwrap(), now));
        assert!(limiter.allows_at("2001:db8::1".parse().unwrap(), now + WINDOW));
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        assert_eq!(canonical("::ffff:10.0.0.1".parse().unwrap()), canonical("10.0.0.1".parse().unwrap()));
        assert_ne!(canonical("10.0.0.2".parse().unwrap()), canonical("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn a_flood_of_addresses_costs_bounded_memory() {
        let limiter = Limiter::default();
        let now = Instant::now();
        for number in 0..(u32::try_from(ADDRESSES).unwrap() + limits::WRONG_KEYS) {
            limiter.count_wrong_at(IpAddr::V4(number.into()), now);
        }
        assert!(limiter.counts.lock().len() <= ADDRESSES + 1);
        assert!(!limiter.allows_at("203.0.113.9".parse().unwrap(), now));
    }
}
