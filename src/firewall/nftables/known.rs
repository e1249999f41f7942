//! What the kernel is known to hold. Pure.

use crate::policy::nftables::NftTable;
use crate::vpn::Wire;

/// Tables that the kernel holds, and the wires at that time.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) tables: Vec<NftTable>,
    pub(super) wires: Vec<Wire>,
}

impl Known {
    /// Whether a wire is another link now than the one of the same name before. A hook can go away with its link, and
    /// nothing reports it.
    pub(super) fn is_replaced(&self, now: &[Wire]) -> bool {
        let is_other = |wire: &Wire| {
            self.wires.iter().any(|before| before.interface == wire.interface && before.index != wire.index)
        };
        now.iter().any(is_other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_came_back_under_its_name_is_another_wire() {
        let wire = |name: &str, index| Wire { interface: name.parse().unwrap(), index };
        let before = || vec![wire("eth0", 2), wire("usb0", 3)];
        let known = |wires| Known { tables: Vec::new(), wires };
        assert!(!known(before()).is_replaced(&before()));
        assert!(!known(before()).is_replaced(&[wire("eth0", 2)]), "one that is gone");
        assert!(!known(vec![wire("eth0", 2)]).is_replaced(&[wire("eth0", 2), wire("wlan0", 4)]), "a new one");
        assert!(known(before()).is_replaced(&[wire("eth0", 2), wire("usb0", 5)]));
    }
}
