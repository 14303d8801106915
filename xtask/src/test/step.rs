//! One step: some commands, one line about them, and all they said if one failed.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::target_dir;

/// What became of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    Passed,
    Failed,
    /// Something is missing that not everybody has.
    LeftOut,
}

/// Some commands that all must succeed.
pub struct Step {
    pub name: &'static str,
    commands: Vec<Command>,
    /// Why it cannot run here.
    missing: Option<String>,
    /// What is worth a note in the output.
    note: fn(&str) -> String,
}

impl Step {
    pub fn new(name: &'static str, commands: impl IntoIterator<Item = Command>) -> Self {
        Self {
            name,
            commands: commands.into_iter().collect(),
            missing: None,
            note: |_| String::new(),
        }
    }

    /// A step that is left out for this reason.
    pub fn without(name: &'static str, missing: String) -> Self {
        Self {
            missing: Some(missing),
            ..Self::new(name, [])
        }
    }

    /// With a note about the output behind the outcome.
    pub fn noting(self, note: fn(&str) -> String) -> Self {
        Self { note, ..self }
    }

    /// Puts something else in place of each command.
    pub fn change(&mut self, change: impl Fn(&Command) -> Command) {
        for command in &mut self.commands {
            *command = change(command);
        }
    }

    /// Runs the commands up to the first that fails. Each thing that is said is said in one go:
    /// another step may run at the same time.
    pub fn run(&mut self) -> Result<Outcome> {
        let name = format!("{:<24}", self.name);
        if let Some(missing) = &self.missing {
            println!("{name}left out: {missing}");
            return Ok(Outcome::LeftOut);
        }
        println!("{name}...");
        let folder = target_dir().join("xtask-test");
        let path = folder.join(format!("{}.log", self.name.replace(' ', "-")));
        let start = Instant::now();
        let passed = fs::create_dir_all(&folder)
            .and_then(|()| run(&mut self.commands, &path))
            .with_context(|| format!("cannot run {}", self.name))?;
        let took = seconds(start.elapsed());
        let output = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let output = String::from_utf8_lossy(&output);
        if passed {
            println!("{name}ok      {took:>8}  {}", (self.note)(&output));
            return Ok(Outcome::Passed);
        }
        let note = (self.note)(&output);
        println!(
            "{name}FAILED  {took:>8}\n{output}\n{} failed, see above. {note}",
            self.name
        );
        Ok(Outcome::Failed)
    }
}

/// Runs the commands with their output in a file: unlike a pipe, it does not wait for a process
/// that was left behind.
fn run(commands: &mut [Command], log: &Path) -> io::Result<bool> {
    let mut log = File::create(log)?;
    for command in commands {
        writeln!(log, "$ {command:?}")?;
        let status = command
            .env("CARGO_TERM_COLOR", "never")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            .status()?;
        if !status.success() {
            writeln!(log, "{status}")?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// A duration for people.
pub fn seconds(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match duration.as_secs() {
        0..60 => format!("{seconds:.1} s"),
        whole => format!("{} min {:02} s", whole / 60, whole % 60),
    }
}

/// How many tests passed, and the names of those that did not.
pub fn tests(output: &str) -> String {
    let count = |what: &str| -> u64 {
        let results = output
            .lines()
            .filter_map(|line| line.strip_prefix("test result: "));
        let parts = results.flat_map(|result| result.split(['.', ';']));
        parts
            .filter_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
            .sum()
    };
    let mut note = format!(
        "\ntests: {} passed, {} failed",
        count("passed"),
        count("failed")
    );
    for line in output.lines() {
        if let Some(name) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            note += &format!("\n  failed: {name}");
        }
    }
    note
}

/// How our client came back from each fault, in the JSON of `peers`.
pub fn contact(output: &str) -> String {
    let lines = output
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let faults = lines.filter_map(|line| {
        let fault = line["fault"].as_str()?.to_owned();
        Some(match line["worst"].as_f64() {
            Some(worst) => format!("{fault} {worst:.1}"),
            None => format!("{fault} never"),
        })
    });
    faults.collect::<Vec<_>>().join(", ")
}

/// The figures in the benchmark's JSON.
pub fn costs(output: &str) -> String {
    let figures = output
        .lines()
        .find_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let number = |name| figures.as_ref().and_then(|f| f[name].as_u64());
    let figures = [
        (".text", "text"),
        ("state", "state_client"),
        ("publish", "instructions_publish"),
        ("receive", "instructions_receive"),
    ];
    let figures: Vec<_> = figures
        .into_iter()
        .filter_map(|(what, name)| Some(format!("{what} {}", number(name)?)))
        .collect();
    figures.join(", ")
}

/// How many experiments there were, and which were late.
pub fn faults(output: &str) -> String {
    let late = output.lines().filter(|line| line.starts_with("late: "));
    let count = output
        .lines()
        .rev()
        .find(|line| line.contains(" experiments in "));
    let note = count.unwrap_or_default().to_owned();
    late.fold(note, |note, late| note + "\n  " + late)
}

/// The last thing that was said.
pub fn last_line(output: &str) -> String {
    output.lines().next_back().unwrap_or_default().to_owned()
}

/// The figures of each board in the JSON of `sizes`.
pub fn sizes(output: &str) -> String {
    let boards = output
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    let boards = boards.filter_map(|board| {
        let (name, flash) = (board["chip"].as_str()?, board["flash"].as_u64()?);
        let free = board["free_ram"].as_u64()?;
        Some(format!(
            "{name}: flash {} KiB, free RAM {} KiB",
            flash.div_ceil(1024),
            free / 1024
        ))
    });
    boards.collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "running 2 tests\ntest a::b ... ok\ntest c ... FAILED\n\
        test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out\n\
        running 3 tests\n\
        test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out\n";

    /// Who reads the last lines of a long log would not learn which test it was.
    #[test]
    fn the_note_counts_the_tests_and_names_the_failed() {
        assert_eq!(tests(OUTPUT), "\ntests: 4 passed, 1 failed\n  failed: c");
    }

    /// A changed name in the benchmark's JSON leaves the note without figures.
    #[test]
    fn the_figures_are_found_among_other_lines() {
        let output = "building\n{\"text\":20000,\"instructions_publish\":800}\n";
        assert_eq!(costs(output), ".text 20000, publish 800");
        assert_eq!(costs("nothing"), "");
    }

    /// A changed name in the JSON of `peers` leaves the note without figures.
    #[test]
    fn each_fault_has_its_figure() {
        let output = "[1/2] words\n{\"fault\":\"dead\",\"worst\":5.46}\n\
                      {\"fault\":\"slow\",\"worst\":null}\n";
        assert_eq!(contact(output), "dead 5.5, slow never");
        assert_eq!(contact("nothing"), "");
    }

    /// A changed name in the JSON of `sizes` leaves the note without figures.
    #[test]
    fn each_board_has_its_figures() {
        let output = "building\n{\"chip\":\"virt\",\"flash\":1025,\"free_ram\":2050}\n\
                      {\"chip\":\"esp32c3\",\"flash\":1024,\"free_ram\":1023}\n";
        assert_eq!(
            sizes(output),
            "virt: flash 2 KiB, free RAM 2 KiB; esp32c3: flash 1 KiB, free RAM 0 KiB"
        );
        assert_eq!(sizes("nothing"), "");
    }

    /// A device that became slower would pass unseen.
    #[test]
    fn late_experiments_are_named() {
        let output = "table\nlate: killed: back after 2 s\n29 experiments in 93 s.\nend";
        assert_eq!(
            faults(output),
            "29 experiments in 93 s.\n  late: killed: back after 2 s"
        );
    }

    /// A failure that is taken for success.
    #[test]
    fn the_first_command_that_fails_ends_the_step() {
        let folder = target_dir().join("xtask-test");
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join(format!("unit-{}.log", std::process::id()));
        let rustc = |argument| {
            let mut command = Command::new("rustc");
            command.arg(argument);
            command
        };
        let mut commands = [rustc("--version"), rustc("--wrong"), rustc("--help")];
        assert!(!run(&mut commands, &log).unwrap());
        let output = fs::read_to_string(&log).unwrap();
        assert!(run(&mut commands[..1], &log).unwrap());
        fs::remove_file(&log).unwrap();
        assert!(
            output.contains("rustc 1.") && output.contains("wrong"),
            "{output}"
        );
        assert!(!output.contains("Usage: rustc [OPTIONS]"), "{output}");
    }

    #[test]
    fn durations_are_short_to_read() {
        assert_eq!(seconds(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(605)), "10 min 05 s");
    }
}
