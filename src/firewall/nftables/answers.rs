//! A kernel that cannot answer the senders of refused packets: it drops the packets in silence.

use tokio::time::Instant;

use super::Nftables;
use super::kernel::{Feature, KernelError, refusal};
use crate::policy::Ruleset;

/// Which senders of refused packets get answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd)]
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
    pub(super) fn complaint(self) -> Option<&'static str> {
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

async fn are_lines_refused() -> bool {
    matches!(refusal(Feature::Lines).await, Ok(Some(_)))
}

impl Nftables {
    /// Leaves out the answers that this kernel refuses. `false` if it refuses none of those that are wanted, and a
    /// commit therefore fails for another reason.
    pub(super) async fn leave_out_answers(&mut self) -> bool {
        let is_quiet = self.leave_out_lines().await;
        match Answers::of_kernel().await {
            Ok(answers) if answers < self.answers => {
                if let Some(complaint) = answers.complaint() {
                    tracing::info!("{complaint}");
                }
                self.answers = answers;
                self.answers_again.refused(Instant::now());
                true
            }
            _ => is_quiet,
        }
    }

    /// Leaves out the rules that tell the agent, if this kernel refuses them.
    async fn leave_out_lines(&mut self) -> bool {
        if !self.lines || !are_lines_refused().await {
            return false;
        }
        tracing::info!("nf_tables does not tell who is refused, because this kernel refuses the rules");
        self.lines = false;
        self.answers_again.refused(Instant::now());
        true
    }

    /// Asks again for the answers that the kernel has refused: its modules may be there now.
    pub(super) async fn ask_again_for_answers(&mut self) {
        let now = Instant::now();
        if (self.answers == Answers::All && self.lines) || !self.answers_again.is_due(now) {
            return;
        }
        self.lines = self.lines || !are_lines_refused().await;
        let answers = Answers::of_kernel().await.unwrap_or(self.answers);
        match answers {
            Answers::All if self.lines => self.answers_again.granted(),
            Answers::All | Answers::Programs | Answers::None => self.answers_again.refused(now),
        }
        self.answers = answers;
    }

    /// Whether the kernel holds the same rules without the answers that it refuses.
    pub(super) async fn is_silent(&mut self, ruleset: &Ruleset) -> bool {
        let before = (self.answers, self.lines);
        if !self.leave_out_answers().await {
            return false;
        }
        let silent = self.wanted(ruleset);
        let is_held = self.compare(&silent, ruleset).await.is_ok_and(|lines| lines.is_empty());
        if !is_held {
            (self.answers, self.lines) = before;
        }
        is_held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::policy::{nftables, ruleset};
    use crate::vpn::Situation;

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
            assert_eq!(answers.complaint().is_none(), answers == Answers::All);
        }
        assert!(Answers::None < Answers::Programs && Answers::Programs < Answers::All);
    }
}
