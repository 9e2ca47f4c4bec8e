//! Address ranges (CIDR, RFC 4632).

use std::fmt;
use std::net::IpAddr;

use minicbor::{Decode, Encode};

/// An address range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// Creates a range. `None` if the prefix length exceeds the address length or a host bit is
    /// set. A range of IPv4-mapped IPv6 addresses becomes an IPv4 range.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        if let (IpAddr::V4(address), true, 96..) =
            (address.to_canonical(), address.is_ipv6(), prefix)
        {
            return Self::new(IpAddr::V4(address), prefix - 96);
        }
        let range = Self { address, prefix };
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits && (range.bits(address) & !range.mask()) == 0).then_some(range)
    }

    /// Parses a range such as `10.0.0.0/8`, or a single address.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            Some((address, prefix)) => Self::new(address.parse().ok()?, prefix.parse().ok()?),
            None => {
                let address: IpAddr = text.parse().ok()?;
                Self::new(address, if address.is_ipv4() { 32 } else { 128 })
            }
        }
    }

    /// True if an address is in the range. An IPv4-mapped IPv6 address counts as IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.address.is_ipv4()
            && self.bits(address) & self.mask() == self.bits(self.address)
    }

    /// First and last address of the range.
    #[must_use]
    pub fn ends(&self) -> (IpAddr, IpAddr) {
        let last = self.bits(self.address) | !self.mask();
        let last = match self.address {
            IpAddr::V4(_) => IpAddr::V4(((last >> 96) as u32).into()),
            IpAddr::V6(_) => IpAddr::V6(last.into()),
        };
        (self.address, last)
    }

    fn bits(&self, address: IpAddr) -> u128 {
        match address {
            IpAddr::V4(v4) => u128::from(u32::from(v4)) << 96,
            IpAddr::V6(v6) => u128::from(v6),
        }
    }

    fn mask(&self) -> u128 {
        u128::MAX
            .checked_shl(128 - u32::from(self.prefix))
            .unwrap_or(0)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<C> Encode<C> for Cidr {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Cidr {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::parse(d.str()?).ok_or_else(|| {
            minicbor::decode::Error::message("not an address range, such as `10.0.0.0/8`")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_hold_their_addresses() {
        let holds = |range: &str, address: &str| {
            Cidr::parse(range)
                .unwrap()
                .contains(address.parse().unwrap())
        };
        assert!(holds("10.0.0.0/8", "10.1.2.3"));
        assert!(holds("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "8.8.8.8"));
        assert!(!holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1"));
        assert!(!holds("2001:db8::/32", "2001:db9::1"));
        let ends = |range: &str| {
            let (first, last) = Cidr::parse(range).unwrap().ends();
            format!("{first} {last}")
        };
        assert_eq!(ends("10.0.0.0/8"), "10.0.0.0 10.255.255.255");
        assert_eq!(ends("2001:db8::/127"), "2001:db8:: 2001:db8::1");
        assert!(holds("127.0.0.1", "127.0.0.1"));
        for (mapped, plain) in [
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ] {
            assert_eq!(Cidr::parse(mapped), Cidr::parse(plain), "{mapped}");
        }
        assert_eq!(Cidr::parse("::ffff:10.0.0.1/104"), None);
        for bad in ["10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "x", "::/129"] {
            assert_eq!(Cidr::parse(bad), None, "{bad}");
        }
    }
}
