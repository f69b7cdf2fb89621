//! Which network an IP address belongs to.
//!
//! A host name says nothing about where it leads: `intranet.example.org` and `rebind.example.com`
//! are both names. So the address decides, after resolution, whether a plugin may connect. Every
//! address belongs to exactly one [`Network`]; only [`Network::Public`] is allowed by default.
//!
//! Invariant: an address that embeds an IPv4 address is never more public than the address that it
//! embeds. What is in no table is [`Network::Reserved`], so that an oversight refuses.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A kind of network, as far as it matters who may connect to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// The internet.
    Public,
    /// This machine: 127.0.0.0/8 (RFC 1122), ::1 (RFC 4291).
    Loopback,
    /// Private networks: RFC 1918, unique local (RFC 4193) and site-local addresses (RFC 3879), and
    /// the local-use prefix of NAT64 (RFC 8215).
    Private,
    /// The machine's own link: 169.254.0.0/16 (RFC 3927), fe80::/10 (RFC 4291).
    LinkLocal,
    /// The addresses at which clouds hand credentials to a machine.
    Metadata,
    /// Between a provider and its customers: 100.64.0.0/10 (RFC 6598).
    Shared,
    /// Benchmarks of network devices: 198.18.0.0/15 (RFC 2544), 2001:2::/48 (RFC 5180).
    Benchmarking,
    /// 0.0.0.0/8 (RFC 1122) and ::; Linux connects `0.0.0.0` to this machine.
    Unspecified,
    /// 224.0.0.0/4 (RFC 5771), ff00::/8 (RFC 4291).
    Multicast,
    /// 255.255.255.255 (RFC 8190).
    Broadcast,
    /// RFC 5737, RFC 3849, RFC 9637.
    Documentation,
    /// Everything else that is not allocated to hosts on the internet.
    Reserved,
}

/// The networks that an operator can allow. No service is reached at an address of the others.
const ALLOWABLE: [Network; 6] = [
    Network::Loopback,
    Network::Private,
    Network::LinkLocal,
    Network::Metadata,
    Network::Shared,
    Network::Benchmarking,
];

impl Network {
    /// The network of an address.
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }

    /// The network that an operator allows by this name; `None` if there is none.
    pub fn allowable(name: &str) -> Option<Self> {
        ALLOWABLE.into_iter().find(|network| network.name() == name)
    }

    /// The names that [`Network::allowable`] knows, as a list for an error.
    pub fn allowable_list() -> String {
        ALLOWABLE.map(|network| format!("`{}`", network.name())).join(", ")
    }

    /// Whether an operator can allow it.
    pub fn is_allowable(self) -> bool {
        ALLOWABLE.contains(&self)
    }

    /// Its name in the configuration and in errors.
    pub fn name(self) -> &'static str {
        match self {
            Network::Public => "public",
            Network::Loopback => "loopback",
            Network::Private => "private",
            Network::LinkLocal => "link-local",
            Network::Metadata => "metadata",
            Network::Shared => "shared",
            Network::Benchmarking => "benchmarking",
            Network::Unspecified => "unspecified",
            Network::Multicast => "multicast",
            Network::Broadcast => "broadcast",
            Network::Documentation => "documentation",
            Network::Reserved => "reserved",
        }
    }
}

/// A set of networks.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Networks(u16);

impl Networks {
    /// The internet, and nothing else.
    pub const PUBLIC: Networks = Networks(1 << Network::Public as u16);

    /// The set with one more network.
    #[must_use]
    pub fn with(self, network: Network) -> Self {
        Self(self.0 | 1 << network as u16)
    }

    /// The set without the internet: only what an operator allowed by name.
    #[must_use]
    pub fn without_public(self) -> Self {
        Self(self.0 & !Self::PUBLIC.0)
    }

    /// Whether the network is in the set.
    pub fn contains(self, network: Network) -> bool {
        self.0 & (1 << network as u16) != 0
    }

    /// Names of the networks that an operator allowed, in the order of the documentation.
    pub fn allowed_names(self) -> impl Iterator<Item = &'static str> {
        ALLOWABLE.into_iter().filter(move |network| self.contains(*network)).map(Network::name)
    }
}

impl Default for Networks {
    fn default() -> Self {
        Self::PUBLIC
    }
}

impl fmt::Debug for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.contains(Network::Public).then_some("public")).entries(self.allowed_names()).finish()
    }
}

/// Blocks of the IANA IPv4 Special-Purpose Address Registry, and addresses of clouds. The first
/// match decides; what matches none is public.
const V4: &[([u8; 4], u8, Network)] = &[
    ([169, 254, 169, 254], 32, Network::Metadata), // AWS, Azure, Google Cloud, DigitalOcean, Hetzner
    ([169, 254, 170, 2], 32, Network::Metadata),   // AWS, tasks
    ([169, 254, 170, 23], 32, Network::Metadata),  // AWS, pods
    ([100, 100, 100, 200], 32, Network::Metadata), // Alibaba Cloud
    ([168, 63, 129, 16], 32, Network::Metadata),   // Azure, WireServer: outside of every special block
    ([192, 0, 0, 192], 32, Network::Metadata),     // Oracle Cloud
    ([0, 0, 0, 0], 8, Network::Unspecified),       // RFC 1122
    ([10, 0, 0, 0], 8, Network::Private),          // RFC 1918
    ([100, 64, 0, 0], 10, Network::Shared),        // RFC 6598
    ([127, 0, 0, 0], 8, Network::Loopback),        // RFC 1122
    ([169, 254, 0, 0], 16, Network::LinkLocal),    // RFC 3927
    ([172, 16, 0, 0], 12, Network::Private),       // RFC 1918
    ([192, 0, 0, 9], 32, Network::Public),         // RFC 7723, Port Control Protocol
    ([192, 0, 0, 10], 32, Network::Public),        // RFC 8155, TURN
    ([192, 0, 0, 0], 24, Network::Reserved),       // RFC 6890
    ([192, 0, 2, 0], 24, Network::Documentation),  // RFC 5737
    ([192, 88, 99, 0], 24, Network::Reserved),     // RFC 7526, relays of 6to4
    ([192, 168, 0, 0], 16, Network::Private),      // RFC 1918
    ([198, 18, 0, 0], 15, Network::Benchmarking),  // RFC 2544
    ([198, 51, 100, 0], 24, Network::Documentation), // RFC 5737
    ([203, 0, 113, 0], 24, Network::Documentation), // RFC 5737
    ([224, 0, 0, 0], 4, Network::Multicast),       // RFC 5771
    ([255, 255, 255, 255], 32, Network::Broadcast), // RFC 8190
    ([240, 0, 0, 0], 4, Network::Reserved),        // RFC 1112
];

/// Blocks of the IANA IPv6 Special-Purpose Address Registry. The first match decides; what matches
/// none is reserved, since only 2000::/3 is allocated to hosts (RFC 3587).
const V6: &[([u16; 8], u8, Network)] = &[
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, Network::Metadata), // AWS
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, Network::Metadata),  // AWS, pods
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, Network::Metadata),  // Google Cloud
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, Network::Unspecified),           // RFC 4291
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, Network::Loopback),              // RFC 4291
    ([0x2001, 0x2, 0, 0, 0, 0, 0, 0], 48, Network::Benchmarking),    // RFC 5180
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, Network::Documentation), // RFC 3849
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, Network::Reserved),          // RFC 2928
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, Network::Documentation),     // RFC 9637
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, Network::Private),            // RFC 4193
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, Network::LinkLocal),         // RFC 4291
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, Network::Private),           // RFC 3879
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, Network::Multicast),          // RFC 4291
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, Network::Public),             // RFC 3587
];

fn of_v4(address: Ipv4Addr) -> Network {
    let matches = |block: [u8; 4], length: u8| {
        let difference = u32::from(address) ^ u32::from(Ipv4Addr::from(block));
        difference.leading_zeros() >= u32::from(length)
    };
    V4.iter().find(|(block, length, _)| matches(*block, *length)).map_or(Network::Public, |(.., network)| *network)
}

fn of_v6(address: Ipv6Addr) -> Network {
    if let Some(network) = of_embedded(address) {
        return network;
    }
    V6.iter()
        .find(|(block, length, _)| is_in(address, *block, *length))
        .map_or(Network::Reserved, |(.., network)| *network)
}

fn is_in(address: Ipv6Addr, block: [u16; 8], length: u8) -> bool {
    let difference = u128::from(address) ^ u128::from(Ipv6Addr::from(block));
    difference.leading_zeros() >= u32::from(length)
}

/// The network of an address that embeds IPv4 addresses; `None` if it embeds none.
fn of_embedded(address: Ipv6Addr) -> Option<Network> {
    let [_, a, b, c, _, _, d, e] = address.segments();
    let v4 = |high: u16, low: u16| of_v4(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    let is_in = |block: [u16; 8], length: u8| is_in(address, block, length);
    // IPv4-mapped (RFC 4291), IPv4-translated (RFC 2765), and the well-known prefix of NAT64
    // (RFC 6052), by which machines without IPv4 reach the whole IPv4 internet.
    if is_in([0, 0, 0, 0, 0, 0xffff, 0, 0], 96)
        || is_in([0, 0, 0, 0, 0xffff, 0, 0, 0], 96)
        || is_in([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96)
    {
        return Some(v4(d, e));
    }
    // IPv4-compatible (RFC 4291, deprecated); `::` and `::1` are not.
    if is_in([0, 0, 0, 0, 0, 0, 0, 0], 96) && !(d == 0 && e <= 1) {
        return Some(v4(d, e));
    }
    // The local-use prefix of NAT64 (RFC 8215). It is never public, whatever it embeds.
    if is_in([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48) {
        return Some(stricter(v4(d, e), Network::Private));
    }
    // 6to4 (RFC 3056).
    if is_in([0x2002, 0, 0, 0, 0, 0, 0, 0], 16) {
        return Some(v4(a, b));
    }
    // Teredo (RFC 4380): a server, and a client whose bits are inverted.
    if is_in([0x2001, 0, 0, 0, 0, 0, 0, 0], 32) {
        return Some(stricter(v4(!d, !e), v4(b, c)));
    }
    None
}

/// The first of both that is not public.
fn stricter(first: Network, second: Network) -> Network {
    if first == Network::Public { second } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_block_has_its_network() {
        use Network::*;
        for (address, network, source) in [
            ("1.1.1.1", Public, "first block of the registry"),
            ("8.8.8.8", Public, ""),
            ("223.255.255.255", Public, "last address below multicast"),
            ("0.0.0.0", Unspecified, "RFC 1122"),
            ("0.1.2.3", Unspecified, "RFC 1122"),
            ("9.255.255.255", Public, "below RFC 1918"),
            ("10.0.0.0", Private, "RFC 1918"),
            ("10.255.255.255", Private, "RFC 1918"),
            ("11.0.0.0", Public, "above RFC 1918"),
            ("100.63.255.255", Public, "below RFC 6598"),
            ("100.64.0.0", Shared, "RFC 6598"),
            ("100.127.255.255", Shared, "RFC 6598"),
            ("100.128.0.0", Public, "above RFC 6598"),
            ("100.100.100.200", Metadata, "Alibaba Cloud"),
            ("126.255.255.255", Public, ""),
            ("127.0.0.1", Loopback, "RFC 1122"),
            ("127.255.255.254", Loopback, "RFC 1122"),
            ("128.0.0.0", Public, ""),
            ("168.63.129.16", Metadata, "Azure"),
            ("169.253.255.255", Public, ""),
            ("169.254.0.1", LinkLocal, "RFC 3927"),
            ("169.254.169.254", Metadata, "AWS and others"),
            ("169.254.170.2", Metadata, "AWS"),
            ("169.255.0.0", Public, ""),
            ("172.15.255.255", Public, "below RFC 1918"),
            ("172.16.0.0", Private, "RFC 1918"),
            ("172.31.255.255", Private, "RFC 1918"),
            ("172.32.0.0", Public, "above RFC 1918"),
            ("192.0.0.1", Reserved, "RFC 6890"),
            ("192.0.0.9", Public, "RFC 7723"),
            ("192.0.0.192", Metadata, "Oracle Cloud"),
            ("192.0.2.1", Documentation, "RFC 5737"),
            ("192.31.196.1", Public, "RFC 7535, globally reachable"),
            ("192.88.99.1", Reserved, "RFC 7526"),
            ("192.167.255.255", Public, "below RFC 1918"),
            ("192.168.1.1", Private, "RFC 1918"),
            ("192.169.0.0", Public, "above RFC 1918"),
            ("198.17.255.255", Public, "below RFC 2544"),
            ("198.18.0.1", Benchmarking, "RFC 2544"),
            ("198.19.255.255", Benchmarking, "RFC 2544"),
            ("198.20.0.0", Public, "above RFC 2544"),
            ("198.51.100.7", Documentation, "RFC 5737"),
            ("203.0.113.9", Documentation, "RFC 5737"),
            ("224.0.0.1", Multicast, "RFC 5771"),
            ("239.255.255.255", Multicast, "RFC 5771"),
            ("240.0.0.1", Reserved, "RFC 1112"),
            ("255.255.255.254", Reserved, "RFC 1112"),
            ("255.255.255.255", Broadcast, "RFC 8190"),
            ("::", Unspecified, "RFC 4291"),
            ("::1", Loopback, "RFC 4291"),
            ("::2", Unspecified, "RFC 4291, IPv4-compatible 0.0.0.2"),
            ("::127.0.0.1", Loopback, "RFC 4291, IPv4-compatible"),
            ("::8.8.8.8", Public, "RFC 4291, IPv4-compatible"),
            ("::ffff:127.0.0.1", Loopback, "RFC 4291, IPv4-mapped"),
            ("::ffff:169.254.169.254", Metadata, "RFC 4291, IPv4-mapped"),
            ("::ffff:8.8.8.8", Public, "RFC 4291, IPv4-mapped"),
            ("::ffff:0:10.0.0.1", Private, "RFC 2765, IPv4-translated"),
            ("64:ff9b::10.1.2.3", Private, "RFC 6052"),
            ("64:ff9b::8.8.8.8", Public, "RFC 6052"),
            ("64:ff9b:1::8.8.8.8", Private, "RFC 8215, local use"),
            ("64:ff9b:1::127.0.0.1", Loopback, "RFC 8215, local use"),
            ("64:ff9b:2::1", Reserved, "outside of RFC 6052 and RFC 8215"),
            ("100::1", Reserved, "RFC 6666, discard only"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdd2", Documentation, "RFC 4380, client 192.0.2.45"),
            ("2001:0:7f00:1:8000:63bf:f7f7:f7f7", Loopback, "RFC 4380, server 127.0.0.1"),
            ("2001:0:808:808:0:0:80ff:fffe", Loopback, "RFC 4380, client 127.0.0.1"),
            ("2001:0:808:808:0:0:f7f7:f7f7", Public, "RFC 4380, both public"),
            ("2001:2::1", Benchmarking, "RFC 5180"),
            ("2001:2:1::1", Reserved, "RFC 2928"),
            ("2001:10::1", Reserved, "RFC 4843"),
            ("2001:db8::1", Documentation, "RFC 3849"),
            ("2001:200::1", Public, "above RFC 2928"),
            ("2001:4860:4860::8888", Public, ""),
            ("2002:7f00:1::1", Loopback, "RFC 3056, 127.0.0.1"),
            ("2002:a9fe:a9fe::", Metadata, "RFC 3056, 169.254.169.254"),
            ("2002:808:808::1", Public, "RFC 3056, 8.8.8.8"),
            ("2606:4700::1", Public, ""),
            ("3fff::1", Documentation, "RFC 9637"),
            ("4000::1", Reserved, "not allocated"),
            ("5f00::1", Reserved, "RFC 9602"),
            ("fc00::1", Private, "RFC 4193"),
            ("fd00:ec2::254", Metadata, "AWS"),
            ("fd20:ce::254", Metadata, "Google Cloud"),
            ("fdff::1", Private, "RFC 4193"),
            ("fe00::1", Reserved, "not allocated"),
            ("fe80::1", LinkLocal, "RFC 4291"),
            ("fec0::1", Private, "RFC 3879"),
            ("ff02::1", Multicast, "RFC 4291"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()), network, "{address} ({source})");
        }
    }

    #[test]
    fn only_networks_with_services_can_be_allowed() {
        let list = "`loopback`, `private`, `link-local`, `metadata`, `shared`, `benchmarking`";
        assert_eq!(Network::allowable_list(), list);
        assert_eq!(Network::allowable("private"), Some(Network::Private));
        assert_eq!(Network::allowable("public"), None);
        assert_eq!(Network::allowable("multicast"), None);
    }

    #[test]
    fn link_local_does_not_include_metadata() {
        let networks = Networks::PUBLIC.with(Network::LinkLocal);
        assert!(!networks.contains(Network::of("169.254.169.254".parse().unwrap())));
        assert_eq!(format!("{networks:?}"), r#"{"public", "link-local"}"#);
    }

    /// An IPv4 address in every form in which IPv6 embeds one.
    fn embeddings(v4: Ipv4Addr, noise: u64) -> Vec<Ipv6Addr> {
        let low = u128::from(u32::from(v4));
        let noise = u128::from(noise);
        let at = |prefix: &str| Ipv6Addr::from(u128::from(prefix.parse::<Ipv6Addr>().unwrap()) | low);
        vec![
            at("::ffff:0:0"),
            at("::ffff:0:0:0"),
            at("64:ff9b::"),
            Ipv6Addr::from(0x0064_ff9b_0001 << 80 | noise << 32 & ((1 << 80) - 1) | low),
            Ipv6Addr::from(0x2002 << 112 | low << 80 | noise),
            Ipv6Addr::from(0x2001_0000 << 96 | low << 64 | noise),
            Ipv6Addr::from(0x2001_0000 << 96 | 0x0808_0808 << 64 | u128::from(!u32::from(v4))),
        ]
    }

    proptest! {
        #[test]
        fn embedded_address_is_never_more_public(v4: u32, noise: u64) {
            let v4 = Ipv4Addr::from(v4);
            let network = Network::of(v4.into());
            for v6 in embeddings(v4, noise) {
                let outer = Network::of(v6.into());
                prop_assert!(network == Network::Public || outer != Network::Public, "{v4} in {v6} is {outer:?}");
            }
        }

        #[test]
        fn no_private_address_passes_in_any_form(
            (block, length, _) in prop::sample::select(V4),
            host: u32,
            noise: u64,
        ) {
            let mask = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
            let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::from(block)) | host & mask);
            // Two addresses within 192.0.0.0/24 are public.
            prop_assume!(Network::of(v4.into()) != Network::Public);
            for v6 in embeddings(v4, noise) {
                prop_assert!(!Networks::PUBLIC.contains(Network::of(v6.into())), "{v4} in {v6}");
            }
        }

        #[test]
        fn outside_of_global_unicast_only_embedded_addresses_are_public(address: u128) {
            let address = Ipv6Addr::from(address);
            if Network::of(address.into()) == Network::Public {
                let first = address.segments()[0];
                prop_assert!(first >> 13 == 1 || first == 0 || first == 0x64, "{address}");
            }
        }
    }
}
