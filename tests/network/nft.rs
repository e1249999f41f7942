//! An nft that dies, and one for a kernel that lacks a hook. Both are fakes in front of the real nft, because
//! this kernel lacks nothing. The real kernel holds the rules.

use crate::support;

use anyhow::{Context, Result, ensure};
use support::{SOON, agent, bus, nft, status, tunwarden, wait_for_state};
use tunwarden_lab::{Capture, Flood, Frame, Lab, wait_for, with_lab};

const KNOWN: &str = "[bootstrap]\nservers = [\"198.51.100.7\"]\n";

/// A fake nft that dies of SIGSEGV with every text while `/run/crash` exists.
const CRASHING: &str = "
    case \" $* \" in *' -f '*) test ! -e /run/crash || kill -SEGV $$ ;; esac
    exec $real \"$@\"";

/// A fake nft that fails like on a kernel before 5.16, which has no egress hook.
const WITHOUT_EGRESS: &str = "
    case \" $* \" in
    *' -f '*)
        text=$(cat)
        case $text in *'hook egress'*)
            echo '/dev/stdin:3:9-14: Error: Could not process rule: Operation not supported' >&2
            exit 1 ;;
        esac
        printf '%s\\n' \"$text\" | $real \"$@\" ;;
    *) exec $real \"$@\" ;;
    esac";

/// A fake nft that refuses each text while `/run/refuses` exists, also a text that it only checks.
const REFUSING: &str = "
    case \" $* \" in *' -f '*)
        if test -e /run/refuses; then
            echo '/dev/stdin:1:1-5: Error: Could not process rule: Cannot allocate memory' >&2
            exit 1
        fi ;;
    esac
    exec $real \"$@\"";

/// A host that sends without pause, and a capture at the ISP.
struct Host {
    capture: Capture,
    flood: Flood,
}

impl Host {
    fn flood(lab: &Lab) -> Result<Self> {
        let capture = lab.capture()?;
        let flood = lab.host().udp("203.0.113.9:5000")?.from_user("nobody").tag("host").flood(1000)?;
        let host = Self { capture, flood };
        host.is_seen("the control, without an agent")?;
        Ok(host)
    }

    fn is_seen(&self, why: &str) -> Result<()> {
        let ours = |frame: &Frame| frame.is_tagged("host");
        let before = self.capture.so_far()?.iter().filter(|frame| ours(frame)).count();
        self.capture.wait_for(before + 50, SOON, ours).with_context(|| why.to_owned())
    }

    fn is_silent(&self, why: &str) -> Result<()> {
        let from = self.capture.so_far()?.len();
        self.flood.await_more(300)?;
        let left = self.capture.so_far()?[from..].iter().filter(|frame| frame.is_tagged("host")).count();
        ensure!(left == 0, "{why}: {left} left");
        Ok(())
    }
}

#[test]
fn an_nft_that_dies_in_a_commit_leaves_what_was_in_force_and_the_stricter_layer_holds() -> Result<()> {
    with_lab(|lab| {
        nft::fake(lab, CRASHING)?;
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        let mut agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        host.is_silent("locked")?;
        let held = || lab.host().succeed(["nft", "list", "table", "inet", "tunwarden"]);
        let before = held()?;

        // If one layer refuses a pause, the other layer stays locked too.
        let iptables = || lab.host().succeed(["iptables", "-S"]);
        let locked = iptables()?;
        lab.host().file("/run/crash", "")?;
        let pause = tunwarden(lab, ["pause", "60s"])?;
        ensure!(!pause.status.success(), "it says that the pause is in force: {pause:?}");
        ensure!(pause.stderr.contains("nothing was opened"), "{pause:?}");
        agent.wait_for_line("signal: 11", SOON)?;
        ensure!(held()? == before, "the table is another: {}", held()?);
        ensure!(iptables()? == locked, "the other layer is another: {}", iptables()?);
        host.is_silent("nft has died")?;
        let said = status(lab)?;
        ensure!(said["enforced"] == true && said["state"] == "locked", "nothing has changed: {said}");

        // The control: with a working nft the pause opens.
        lab.host().succeed(["rm", "/run/crash"])?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        host.is_seen("nft works again, and the pause is in force")?;
        lab.host().file("/run/crash", "")?;
        let resume = tunwarden(lab, ["resume"])?;
        host.is_silent("the resume closes the layer that can be").with_context(|| format!("{resume:?}"))?;
        lab.host().succeed(["rm", "/run/crash"])?;
        wait_for_state(lab, "locked")?;
        wait_for("both layers", SOON, || Ok((status(lab)?["layers"][1]["enforced"] == true).then_some(())))?;
        ensure!(tunwarden(lab, ["verify"])?.status.success());
        host.is_silent("locked again")
    })
}

#[test]
fn without_an_egress_hook_the_rest_of_the_second_layer_holds_and_is_reported() -> Result<()> {
    with_lab(|lab| {
        nft::fake(lab, WITHOUT_EGRESS)?;
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        let mut agent = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        agent.wait_for_line("one layer holds the rules, or a part of it: this kernel has no egress", SOON)?;
        let said = status(lab)?;
        let layer = &said["layers"][1];
        ensure!(said["enforced"] == true && layer["enforced"] == true, "{said}");
        ensure!(layer["lacks"].as_str().is_some_and(|why| why.contains("no egress hook (5.16)")), "{layer}");
        let text = tunwarden(lab, ["status"])?.stdout;
        ensure!(text.contains("no egress hook (5.16)"), "{text}");
        ensure!(tunwarden(lab, ["verify"])?.status.success(), "what this system lacks is no difference");
        let tables = lab.host().succeed(["nft", "list", "tables"])?;
        ensure!(tables.contains("inet tunwarden") && !tables.contains("netdev"), "{tables}");

        // The second layer blocks the host when iptables is open. It does not block raw sockets, because
        // only the egress hook can.
        agent.kill()?;
        lab.host().succeed(["sh", "-c", "iptables -w -P OUTPUT ACCEPT; iptables -w -F"])?;
        host.is_silent("iptables is open")?;
        let raw = lab.host().raw("eth0", "203.0.113.9:5001")?.count(3).tag("raw").send()?;
        wait_for("a raw sender passes", SOON, || {
            let frames = host.capture.so_far()?;
            Ok((frames.iter().filter(|frame| frame.is_tagged("raw")).count() == 3).then_some(()))
        })
        .with_context(|| format!("{raw:?}"))
    })
}

#[test]
fn a_temporary_refusal_does_not_disable_the_second_layer() -> Result<()> {
    with_lab(|lab| {
        nft::fake(lab, REFUSING)?;
        let _bus = bus(lab)?;
        let host = Host::flood(lab)?;
        let mut first = agent(lab, KNOWN)?;
        wait_for_state(lab, "locked")?;
        host.is_silent("locked")?;

        // The kernel holds tunwarden's tables, so the agent knows that it supports them.
        lab.host().file("/run/refuses", "")?;
        let pause = tunwarden(lab, ["pause", "60s"])?;
        ensure!(!pause.status.success(), "the tables are those of the lock: {pause:?}");
        ensure!(pause.stderr.contains("nothing was opened"), "{pause:?}");
        ensure!(status(lab)?["layers"][1]["lacks"].is_null(), "{}", status(lab)?);
        host.is_silent("nft has refused the pause")?;
        lab.host().succeed(["rm", "/run/refuses"])?;
        ensure!(tunwarden(lab, ["pause", "60s"])?.status.success());
        host.is_seen("the control: nft works again, and the pause is in force")?;
        ensure!(tunwarden(lab, ["resume"])?.status.success());
        host.is_silent("locked again")?;

        // Without tables nothing shows that the refusal is temporary. The next commit tries again.
        first.kill()?;
        lab.host().succeed(["nft", "flush", "ruleset"])?;
        lab.host().file("/run/refuses", "")?;
        let _second = support::start_agent(lab)?;
        let said = status(lab)?;
        let lacks = said["layers"][1]["lacks"].as_str();
        ensure!(lacks.is_some_and(|why| why.contains("no nftables")), "{said}");
        lab.host().succeed(["rm", "/run/refuses"])?;
        lab.host().succeed(["ip", "address", "add", "192.168.77.2/24", "dev", "eth0"])?;
        wait_for("the second layer holds the rules", SOON, || {
            let layer = status(lab)?["layers"][1].clone();
            Ok((layer["enforced"] == true && layer["lacks"].is_null()).then_some(()))
        })?;
        host.is_silent("both layers again")
    })
}
