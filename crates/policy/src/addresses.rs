//! Sets of IP addresses, as disjoint ranges per family.

use std::net::IpAddr;

use crate::cidr::Cidr;

/// A set of IPv4 and IPv6 addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    v4: Ranges<u32>,
    v6: Ranges<u128>,
}

/// Inclusive ranges, sorted, disjoint and not adjacent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Ranges<T>(Vec<(T, T)>);

/// An IP address as an integer.
trait Number: Copy + Ord {
    const MIN: Self;
    const MAX: Self;
    fn next(self) -> Option<Self>;
    fn previous(self) -> Option<Self>;
}

macro_rules! number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            const MIN: Self = Self::MIN;
            const MAX: Self = Self::MAX;
            fn next(self) -> Option<Self> { self.checked_add(1) }
            fn previous(self) -> Option<Self> { self.checked_sub(1) }
        }
    )*};
}
number!(u32, u128);

impl Addresses {
    /// Set of all addresses.
    #[must_use]
    pub fn all() -> Self {
        Self {
            v4: Ranges(vec![(u32::MIN, u32::MAX)]),
            v6: Ranges(vec![(u128::MIN, u128::MAX)]),
        }
    }

    /// Set of the addresses that are in at least one of the ranges.
    #[must_use]
    pub fn of<'c>(ranges: impl IntoIterator<Item = &'c Cidr>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for range in ranges {
            match range.ends() {
                (IpAddr::V4(first), IpAddr::V4(last)) => v4.push((first.into(), last.into())),
                (IpAddr::V6(first), IpAddr::V6(last)) => v6.push((first.into(), last.into())),
                (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {}
            }
        }
        Self {
            v4: Ranges::new(v4),
            v6: Ranges::new(v6),
        }
    }

    /// Set of the addresses that are in this set, in `other` or in both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self {
            v4: Ranges::new([&*self.v4.0, &*other.v4.0].concat()),
            v6: Ranges::new([&*self.v6.0, &*other.v6.0].concat()),
        }
    }

    /// Set of the addresses that are in this set and in `other`.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.intersection(&other.v4),
            v6: self.v6.intersection(&other.v6),
        }
    }

    /// Set of the addresses that are in this set and not in `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self {
            v4: self.v4.intersection(&other.v4.rest()),
            v6: self.v6.intersection(&other.v6.rest()),
        }
    }

    /// Example of an address in the set: `usual` if the set contains it, otherwise the set's first
    /// address. `None` if the set is empty.
    #[must_use]
    pub fn example(&self, usual: IpAddr) -> Option<IpAddr> {
        let single = Self {
            v4: Ranges(match usual {
                IpAddr::V4(ip) => vec![(ip.into(), ip.into())],
                IpAddr::V6(_) => Vec::new(),
            }),
            v6: Ranges(match usual {
                IpAddr::V4(_) => Vec::new(),
                IpAddr::V6(ip) => vec![(ip.into(), ip.into())],
            }),
        };
        if single.is_within(self) {
            return Some(usual);
        }
        let v4 = self
            .v4
            .0
            .first()
            .map(|(first, _)| IpAddr::V4((*first).into()));
        v4.or_else(|| {
            self.v6
                .0
                .first()
                .map(|(first, _)| IpAddr::V6((*first).into()))
        })
    }

    /// True if the set contains an address. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => self.v4.contains(address.into()),
            IpAddr::V6(address) => self.v6.contains(address.into()),
        }
    }

    /// True if the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.v4.0.is_empty() && self.v6.0.is_empty()
    }

    /// Fewest CIDR ranges that together contain exactly the addresses of this set.
    #[must_use]
    pub fn ranges(&self) -> Vec<Cidr> {
        let v4 = self.v4.0.iter().flat_map(|(first, last)| {
            blocks(u128::from(*first), u128::from(*last), 32, |first| {
                IpAddr::V4(u32::try_from(first).unwrap_or(u32::MAX).into())
            })
        });
        let v6 = self.v6.0.iter();
        let v6 = v6
            .flat_map(|(first, last)| blocks(*first, *last, 128, |first| IpAddr::V6(first.into())));
        v4.chain(v6).collect()
    }

    /// True if `other` contains all addresses of this set.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let rest = self.without(other);
        rest.v4.0.is_empty() && rest.v6.0.is_empty()
    }
}

/// CIDR blocks that exactly cover the range from `first` to `last`. `address` converts an integer
/// of `bits` bits to an IP address.
fn blocks(mut first: u128, last: u128, bits: u32, address: impl Fn(u128) -> IpAddr) -> Vec<Cidr> {
    let mut blocks = Vec::new();
    loop {
        // The largest aligned block that begins at `first` and does not exceed `last`.
        let mut free = first.trailing_zeros().min(bits);
        let end = |free: u32| {
            let size = 1u128.checked_shl(free).map_or(u128::MAX, |size| size - 1);
            first | size
        };
        while free > 0 && end(free) > last {
            free -= 1;
        }
        let prefix = u8::try_from(bits - free).unwrap_or(u8::MAX);
        blocks.extend(Cidr::new(address(first), prefix));
        let next = end(free).checked_add(1).filter(|next| *next <= last);
        match next {
            Some(next) => first = next,
            None => return blocks,
        }
    }
}

impl<T: Number> Ranges<T> {
    fn new(mut ranges: Vec<(T, T)>) -> Self {
        ranges.sort();
        let mut joined: Vec<(T, T)> = Vec::new();
        for (first, last) in ranges {
            match joined.last_mut() {
                Some((_, end)) if end.next().is_none_or(|next| first <= next) => {
                    *end = (*end).max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self(joined)
    }

    fn contains(&self, number: T) -> bool {
        let behind = self.0.partition_point(|(first, _)| *first <= number);
        let range = behind.checked_sub(1).and_then(|index| self.0.get(index));
        range.is_some_and(|(_, last)| number <= *last)
    }

    fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut found = Vec::new();
        while let (Some((a, b)), Some((c, d))) = (mine.peek(), theirs.peek()) {
            let (first, last) = ((*a).max(*c), (*b).min(*d));
            if first <= last {
                found.push((first, last));
            }
            if b < d {
                mine.next();
            } else {
                theirs.next();
            }
        }
        Self(found)
    }

    /// Ranges of all integers that are not in these ranges.
    fn rest(&self) -> Self {
        let mut found = Vec::new();
        let mut from = Some(T::MIN);
        for (first, last) in &self.0 {
            if let (Some(start), Some(end)) = (from, first.previous())
                && start <= end
            {
                found.push((start, end));
            }
            from = last.next();
        }
        if let Some(start) = from {
            found.push((start, T::MAX));
        }
        Self(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares union, intersection and difference of subsets of 192.0.2.0/28 with a check of each
    /// address.
    #[test]
    fn sets_agree_with_their_addresses_one_by_one() {
        let mut all = Vec::new();
        for prefix in 28..=32u32 {
            for start in (0..16u32).step_by(1 << (32 - prefix)) {
                all.push(Cidr::parse(&format!("192.0.2.{start}/{prefix}")).unwrap());
            }
        }
        let mut seed = 7u64;
        let mut dice = move || {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap()
        };
        let universe: Vec<IpAddr> = (0..16)
            .map(|last| format!("192.0.2.{last}").parse().unwrap())
            .collect();
        for _ in 0..20_000 {
            let mut list =
                || -> Vec<Cidr> { (0..dice() % 4).map(|_| all[dice() % all.len()]).collect() };
            let (allow_a, deny_a, allow_b, deny_b) = (list(), list(), list(), list());
            let set =
                |allow: &[Cidr], deny: &[Cidr]| Addresses::of(allow).without(&Addresses::of(deny));
            let holds = |allow: &[Cidr], deny: &[Cidr], address: IpAddr| {
                allow.iter().any(|range| range.contains(address))
                    && !deny.iter().any(|range| range.contains(address))
            };
            let (a, b) = (set(&allow_a, &deny_a), set(&allow_b, &deny_b));
            let within = universe.iter().all(|address| {
                !holds(&allow_a, &deny_a, *address) || holds(&allow_b, &deny_b, *address)
            });
            assert_eq!(
                a.is_within(&b),
                within,
                "{allow_a:?} {deny_a:?} {allow_b:?} {deny_b:?}"
            );
            for address in &universe {
                assert_eq!(a.contains(*address), holds(&allow_a, &deny_a, *address));
            }
            let both = a.intersection(&b);
            assert!(both.is_within(&a) && both.is_within(&b));
        }
    }

    #[test]
    fn families_are_separate_and_ranges_are_merged() {
        let of = |texts: &[&str]| {
            Addresses::of(
                &texts
                    .iter()
                    .map(|text| Cidr::parse(text).unwrap())
                    .collect::<Vec<_>>(),
            )
        };
        assert!(of(&["0.0.0.0/0", "::/0"]) == Addresses::all());
        assert!(of(&["10.0.0.0/8"]).contains("::ffff:10.1.2.3".parse().unwrap()));
        assert!(!of(&["::/0"]).contains("10.1.2.3".parse().unwrap()));
        assert!(!Addresses::default().contains("::1".parse().unwrap()));
        assert!(of(&["10.0.0.0/9", "10.128.0.0/9"]) == of(&["10.0.0.0/8"]));
        assert!(of(&["2001:db8::1"]).is_within(&of(&["2001:db8::/32"])));
        assert!(!of(&["10.0.0.1"]).is_within(&of(&["::/0"])));
        assert!(Addresses::all().without(&of(&["0.0.0.0/0"])) == of(&["::/0"]));
        let shown = |set: Addresses| {
            let ranges = set.ranges().into_iter();
            ranges.map(|range| range.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(shown(Addresses::all()), ["0.0.0.0/0", "::/0"]);
        assert_eq!(
            shown(of(&["10.0.0.0/8"]).without(&of(&["10.0.0.0/9", "10.255.255.255"]))).len(),
            23
        );
        assert_eq!(
            shown(of(&["10.0.0.0/30"]).without(&of(&["10.0.0.0"]))),
            ["10.0.0.1/32", "10.0.0.2/31"]
        );
        assert!(of(&["255.255.255.255", "0.0.0.0"]).is_within(&of(&["0.0.0.0/0"])));
    }
}
