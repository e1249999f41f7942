//! Whether this kernel has no IPv6 at all (`ipv6.disable=1`): then there is nothing to close, and a program
//! of iptables-legacy fails because it has nothing to write to.

use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, socket};

use crate::net::Family;

/// A file of every kernel with a network. Where it is missing, `/proc` is not whole and proves nothing.
const EVERYWHERE: &str = "/proc/self/net/dev";

/// A file of every kernel with IPv6, in every network namespace.
const WITH_IPV6: &str = "/proc/self/net/if_inet6";

/// Whether it is certain that no packet of this family can be sent or received. Either sign alone is not
/// enough: a sandbox can refuse sockets, and hide files.
pub(super) fn is_absent(family: Family) -> bool {
    match family {
        Family::V4 => false,
        Family::V6 => {
            let refused = socket(AddressFamily::INET6, SocketType::DGRAM, None).err();
            refused == Some(Errno::AFNOSUPPORT) && Path::new(EVERYWHERE).exists() && is_missing(WITH_IPV6)
        }
    }
}

/// The result of a program for one family. An error counts as nothing if the kernel has no such family.
pub(super) fn nothing_if_absent<T: Default, E>(family: Family, result: Result<T, E>) -> Result<T, E> {
    match result {
        Err(_) if is_absent(family) => Ok(T::default()),
        result => result,
    }
}

fn is_missing(path: &str) -> bool {
    matches!(Path::new(path).try_exists(), Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_with_ipv6_has_it() {
        assert!(Path::new(WITH_IPV6).exists(), "the tests need a kernel with IPv6");
        assert!(!is_absent(Family::V6) && !is_absent(Family::V4));
        assert_eq!(nothing_if_absent(Family::V6, Err::<String, _>("it failed")), Err("it failed"));
    }
}
