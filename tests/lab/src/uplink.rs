//! A link between the host and the ISP, as a value: names and addresses of both ends.

use std::fmt::Write;

use ipnet::{Ipv4Net, Ipv6Net};

/// One link. Each address has the length of the link's prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    /// The host's end: `eth0`.
    pub name: String,
    /// The ISP's end: `isp0`.
    pub isp_end: String,
    /// The router's IPv4 address.
    pub router: Ipv4Net,
    /// The host's IPv4 address.
    pub host: Ipv4Net,
    /// The router's IPv6 addresses, besides fe80::1.
    pub router_v6: Vec<Ipv6Net>,
    /// The host's IPv6 addresses, besides its own fe80.
    pub host_v6: Vec<Ipv6Net>,
    /// The metric of the host's default routes; the lowest wins.
    pub metric: u32,
}

impl Uplink {
    /// The `n`th link, with 10.0.N.0/24, fd00:0:0:N+1::/64 and 2001:db8:N+1::/64.
    #[must_use]
    pub fn numbered(name: &str, n: u8) -> Self {
        let v4 = |last| net4([10, 0, n, last]);
        let m = u16::from(n) + 1;
        let v6 =
            |last| vec![net6([0xfd00, 0, 0, m, 0, 0, 0, last]), net6([0x2001, 0xdb8, m, 0, 0, 0, 0, last])];
        Self {
            name: name.into(),
            isp_end: format!("isp{n}"),
            router: v4(1),
            host: v4(2),
            router_v6: v6(1),
            host_v6: v6(2),
            metric: 100 + u32::from(n),
        }
    }

    /// The link's IPv4 prefix.
    #[must_use]
    pub fn network(&self) -> Ipv4Net {
        self.host.trunc()
    }

    /// What `ip -batch -` is to do on the ISP's side.
    pub(crate) fn isp_batch(&self) -> String {
        let end = &self.isp_end;
        let mut batch = format!("addr add {} dev {end}\naddr add fe80::1/64 dev {end} nodad\n", self.router);
        for address in &self.router_v6 {
            let _ = writeln!(batch, "addr add {address} dev {end} nodad");
        }
        let _ = writeln!(batch, "link set {end} up");
        batch
    }

    /// What `ip -batch -` is to do on the host's side.
    pub(crate) fn host_batch(&self) -> String {
        let Self { name, metric, router, .. } = self;
        let mut batch = format!("link set {name} up\naddr add {} dev {name}\n", self.host);
        for address in &self.host_v6 {
            let _ = writeln!(batch, "addr add {address} dev {name} nodad");
        }
        let _ = writeln!(batch, "route add default via {} dev {name} metric {metric}", router.addr());
        let _ = writeln!(batch, "route add ::/0 via fe80::1 dev {name} metric {metric}");
        batch
    }
}

/// Fails only for a prefix length above the limit of the family.
fn net4(octets: [u8; 4]) -> Ipv4Net {
    Ipv4Net::new_assert(octets.into(), 24)
}

fn net6(segments: [u16; 8]) -> Ipv6Net {
    Ipv6Net::new_assert(segments.into(), 64)
}
