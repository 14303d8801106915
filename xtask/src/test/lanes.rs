//! Which steps run one after the other, and which beside them.

use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Result, anyhow};

use super::setup::search_path;
use super::step::{Outcome, Step};

/// What runs a program only while nothing else wants the processor, or the disk.
const WHEN_IDLE: [&[&str]; 2] = [&["chrt", "--idle", "0"], &["ionice", "--class", "idle"]];

/// Steps in the order in which they run.
#[derive(Default)]
pub struct Lanes {
    /// One after the other.
    pub first: Vec<Step>,
    /// One after the other, too. Mostly they wait: for what takes its time, as a broker does.
    pub waiting: Vec<Step>,
    /// Meanwhile, in the time that `waiting` leaves over. They only compute, and touch nothing
    /// that the others use: above all not the programs that tests start.
    pub meanwhile: Vec<Step>,
}

impl Lanes {
    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.first.len() + self.waiting.len() + self.meanwhile.len()
    }

    /// Runs every step, also after one that failed; gives the names of those that did.
    ///
    /// # Errors
    /// A command cannot be started at all.
    pub fn run(&mut self) -> Result<Vec<&'static str>> {
        let mut failed = in_turn(&mut self.first)?;
        let Some(prefix) = when_idle(&search_path()) else {
            failed.extend(in_turn(&mut self.waiting)?);
            failed.extend(in_turn(&mut self.meanwhile)?);
            return Ok(failed);
        };
        for step in &mut self.meanwhile {
            step.change(|command| behind(&prefix, command));
        }
        let (waiting, meanwhile) = thread::scope(|scope| {
            let meanwhile = scope.spawn(|| in_turn(&mut self.meanwhile));
            let waiting = in_turn(&mut self.waiting);
            let meanwhile = meanwhile.join();
            (
                waiting,
                meanwhile.unwrap_or_else(|_| Err(anyhow!("a step ended in a panic"))),
            )
        });
        failed.extend(waiting?);
        failed.extend(meanwhile?);
        Ok(failed)
    }
}

fn in_turn(steps: &mut [Step]) -> Result<Vec<&'static str>> {
    let mut failed = Vec::new();
    for step in steps {
        if step.run()? == Outcome::Failed {
            failed.push(step.name);
        }
    }
    Ok(failed)
}

/// The words before a command that let it run when the machine is idle, where that can be had.
fn when_idle(folders: &[impl AsRef<Path>]) -> Option<Vec<&'static str>> {
    let there = |program: &str| {
        folders
            .iter()
            .any(|folder| folder.as_ref().join(program).is_file())
    };
    let words = WHEN_IDLE.concat();
    WHEN_IDLE
        .iter()
        .all(|words| there(words[0]))
        .then_some(words)
}

/// The same command behind other words.
fn behind(prefix: &[&str], command: &Command) -> Command {
    let mut changed = Command::new(prefix[0]);
    changed.args(&prefix[1..]);
    changed.arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        changed.current_dir(folder);
    }
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => changed.env(name, value),
            None => changed.env_remove(name),
        };
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(command: &mut Command) -> String {
        let output = command.output().expect("sh is everywhere");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// A command that lost its folder would test another crate, one that lost its environment
    /// another build.
    #[test]
    fn a_command_behind_others_is_the_same_command() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo \"$0 $A ${HOME-none}; $(pwd)\"", "a b"]);
        command.env("A", "1 2").env_remove("HOME").current_dir("/");
        assert_eq!(said(&mut command), "a b 1 2 none; /");
        assert_eq!(said(&mut behind(&["env"], &command)), "a b 1 2 none; /");
        let behind = behind(&["nice", "-n", "19"], &command);
        assert_eq!(said(&mut { behind }), "a b 1 2 none; /");
    }

    /// Where a program is missing, the steps run in turn; they do not fail.
    #[test]
    fn nothing_runs_beside_where_it_would_disturb() {
        let folder = tempfile::tempdir().expect("there is a folder for what is temporary");
        let folders = [folder.path().to_owned()];
        assert_eq!(when_idle(&folders), None);
        std::fs::write(folder.path().join("chrt"), "").expect("the folder is ours");
        assert_eq!(when_idle(&folders), None);
        std::fs::write(folder.path().join("ionice"), "").expect("the folder is ours");
        let words = when_idle(&folders).expect("both are there");
        assert_eq!(words.join(" "), "chrt --idle 0 ionice --class idle");
    }

    /// One that fails must not keep the others from running, nor be forgotten.
    #[test]
    fn each_step_runs_and_each_failure_is_told() {
        let folder = tempfile::tempdir().expect("there is a folder for what is temporary");
        let step = |name, code: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", &format!("touch {name}; exit {code}")]);
            command.current_dir(folder.path());
            Step::new(name, [command])
        };
        let mut lanes = Lanes {
            first: vec![step("lanes-a", "1"), step("lanes-b", "0")],
            waiting: vec![step("lanes-c", "0"), step("lanes-d", "1")],
            meanwhile: vec![step("lanes-e", "1"), step("lanes-f", "0")],
        };
        assert_eq!(lanes.len(), 6);
        let failed = lanes.run().expect("sh is everywhere");
        assert_eq!(failed, ["lanes-a", "lanes-d", "lanes-e"]);
        for name in ["a", "b", "c", "d", "e", "f"] {
            assert!(
                folder.path().join(format!("lanes-{name}")).exists(),
                "{name}"
            );
        }
    }
}
