//! A kernel that cannot answer the senders of refused packets: it drops the packets in silence.

use tokio::time::Instant;

use super::Nftables;
use super::kernel::{Feature, KernelError, refusal};
use crate::policy::Ruleset;

/// Which senders of refused packets get answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answers {
    /// None. Every refused packet is dropped.
    None,
    /// Programs of this machine. A kernel before 5.19 cannot answer containers.
    Programs,
    /// Programs and containers.
    All,
}

impl Answers {
    /// The same rules with these answers alone.
    pub(super) fn of(self, ruleset: &Ruleset) -> Ruleset {
        match self {
            Self::None => ruleset.without_rejects(),
            Self::Programs => ruleset.without_answers_to_containers(),
            Self::All => ruleset.clone(),
        }
    }

    /// The answers that this kernel takes. A commit that fails for another reason says nothing about them, and neither
    /// do the tables of an earlier agent.
    ///
    /// # Errors
    /// When the kernel does not answer.
    async fn of_kernel() -> Result<Self, KernelError> {
        if refusal(Feature::AnswersToContainers).await?.is_none() {
            return Ok(Self::All);
        }
        let to_programs = refusal(Feature::AnswersToPrograms).await?.is_none();
        Ok(if to_programs { Self::Programs } else { Self::None })
    }

    /// What people read about it; `None` if nothing is missing.
    pub(super) fn warning(self) -> Option<&'static str> {
        match self {
            Self::None => Some(
                "programs and containers wait for their timeouts when nf_tables refuses a packet: \
                      this kernel refuses the rules that answer",
            ),
            Self::Programs => Some(
                "containers wait for their timeouts when a packet is refused: \
                      this kernel refuses the rules that answer (5.19)",
            ),
            Self::All => None,
        }
    }
}

/// Whether this kernel accepts the rules that report to the agent.
///
/// # Errors
/// When the kernel does not answer.
async fn takes_lines() -> Result<bool, KernelError> {
    Ok(refusal(Feature::Lines).await?.is_none())
}

impl Nftables {
    /// Leaves out the answers, and the rules that report to the agent, as far as this kernel refuses them. `false` if
    /// it refuses none of those that are wanted, and a commit therefore fails for another reason.
    ///
    /// # Errors
    /// When the kernel does not answer. Then nothing has changed.
    pub(super) async fn leave_out_answers(&mut self) -> Result<bool, KernelError> {
        let lines = self.lines && takes_lines().await?;
        let answers = Answers::of_kernel().await?.min(self.answers);
        if (answers, lines) == (self.answers, self.lines) {
            return Ok(false);
        }
        if lines != self.lines {
            tracing::info!(
                "nf_tables does not report refused packets, because this kernel refuses the rules for it"
            );
        }
        if answers != self.answers
            && let Some(warning) = answers.warning()
        {
            tracing::info!("{warning}");
        }
        (self.answers, self.lines) = (answers, lines);
        self.answers_again.refused(Instant::now());
        Ok(true)
    }

    /// Whether answers, or the rules that report to the agent, are left out.
    fn lacks_answers(&self) -> bool {
        self.answers != Answers::All || !self.lines
    }

    /// When the kernel is asked again for what is left out; `None` if nothing is.
    pub(super) fn answers_due(&self) -> Option<Instant> {
        self.answers_again.due().filter(|_| self.lacks_answers())
    }

    /// Asks again for the answers that the kernel has refused: its modules may be there now.
    ///
    /// # Errors
    /// When the kernel does not answer. Then only the time of the next question has changed.
    pub(super) async fn ask_again_for_answers(&mut self) -> Result<(), KernelError> {
        if !self.lacks_answers() || !self.answers_again.is_due(Instant::now()) {
            return Ok(());
        }
        let asked = self.ask_for_answers().await;
        match &asked {
            Ok(()) if !self.lacks_answers() => self.answers_again.granted(),
            Ok(()) | Err(_) => self.answers_again.refused(Instant::now()),
        }
        asked
    }

    async fn ask_for_answers(&mut self) -> Result<(), KernelError> {
        let lines = self.lines || takes_lines().await?;
        self.answers = Answers::of_kernel().await?;
        self.lines = lines;
        Ok(())
    }

    /// Whether the kernel holds the same rules without the answers that it refuses.
    ///
    /// # Errors
    /// When the kernel does not answer.
    pub(super) async fn is_silent(&mut self, ruleset: &Ruleset) -> Result<bool, KernelError> {
        let before = (self.answers, self.lines);
        if !self.leave_out_answers().await? {
            return Ok(false);
        }
        let silent = self.wanted(ruleset);
        let is_held = self.compare(&silent, ruleset).await.is_ok_and(|lines| lines.is_empty());
        if !is_held {
            (self.answers, self.lines) = before;
        }
        Ok(is_held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::policy::{nftables, ruleset};
    use crate::vpn::Situation;

    /// A layer on a kernel that has refused `answers` or `lines`.
    fn refused(answers: Answers, lines: bool) -> Nftables {
        let mut layer = Nftables { answers, lines, ..Nftables::new() };
        layer.answers_again.refused(Instant::now());
        layer
    }

    #[test]
    fn what_is_left_out_is_asked_for_again_without_another_event() {
        for (answers, lines, is_due) in [
            (Answers::All, true, false),
            (Answers::Programs, true, true),
            (Answers::None, true, true),
            (Answers::All, false, true),
        ] {
            assert_eq!(refused(answers, lines).due().is_some(), is_due, "{answers:?} {lines}");
        }
    }

    #[test]
    fn a_kernel_that_cannot_answer_containers_still_answers_programs() {
        let full = ruleset(&Config::default(), &[0].into(), &Situation::default());
        let text = |answers: Answers| nftables::render_fresh(&answers.of(&full));
        let chain = |text: &str, name: &str| {
            let rest = text.split(&format!("chain {name} {{")).nth(1);
            rest.map(|rest| rest.split("\n\t}").next().unwrap_or_default().to_owned())
        };
        for (answers, to_programs, to_containers) in
            [(Answers::All, true, true), (Answers::Programs, true, false), (Answers::None, false, false)]
        {
            let text = text(answers);
            let programs = chain(&text, "VPN_REFUSED_V4").unwrap_or_default();
            assert_eq!(programs.contains("reject with"), to_programs, "{answers:?}: {programs}");
            let containers = chain(&text, "DOCKER_VPN_REFUSED_V4");
            assert_eq!(containers.is_some(), to_containers, "{answers:?}: {containers:?}");
            // What stands behind each answer refuses the same packet.
            let killing = chain(&text, "DOCKER_VPN_KILL_SWITCH_V4").unwrap_or_default();
            assert!(killing.trim_end().ends_with("drop"), "{answers:?}: {killing}");
            let output = chain(&text, "OUTPUT_VPN_KILL_SWITCH_V4").unwrap_or_default();
            assert!(output.trim_end().ends_with("drop"), "{answers:?}: {output}");
            assert_eq!(answers.warning().is_none(), answers == Answers::All);
        }
        assert!(Answers::None < Answers::Programs && Answers::Programs < Answers::All);
    }
}
