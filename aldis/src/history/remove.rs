//! Removes devices from what is recorded: all whose names fit a pattern.

use std::io::{self, BufRead, IsTerminal, Write};

use aldis_history::{Device, History, HistoryError};
use aldis_protocol::topic::DEFAULT_PREFIX;
use serde_json::json;

use super::Failure;
use crate::printable::{escaped, escaped_json};

/// How many of them are shown before it is asked.
const SHOWN: usize = 20;

/// What the pattern means, and whether it is asked before.
pub struct Removal<'a> {
    /// `*` stands for any characters, `?` for one. With a `/` it is about prefix and id.
    pub pattern: &'a str,
    /// Without asking.
    pub yes: bool,
    /// One JSON object a line.
    pub json: bool,
}

impl Removal<'_> {
    /// Removes them, if whoever is asked says so.
    pub async fn run(&self, history: &History) -> Result<(), Failure> {
        let devices = history.devices().await?;
        let found: Vec<_> = devices.iter().filter(|device| self.fits(device)).collect();
        if found.is_empty() {
            return Err(Failure::Failed(format!(
                "no device's name fits `{}`; `aldis history` lists the devices",
                escaped(self.pattern)
            )));
        }
        if !self.yes && !ask(&found)? {
            return Err(Failure::Failed("nothing was removed".to_owned()));
        }
        let mut stdout = io::stdout().lock();
        let mut count = 0;
        for device in &found {
            match history.remove(&device.key).await {
                Ok(()) => count += 1,
                // Somebody else was faster.
                Err(HistoryError::NoDevice { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            if self.json {
                let line = json!({"event": "removed", "device": device.key.to_string()});
                writeln!(stdout, "{}", escaped_json(&line.to_string()))?;
            }
        }
        if !self.json {
            writeln!(
                stdout,
                "{} removed. A device that speaks again is recorded anew; `aldis hub unpair` takes \
                 a paired one's key away.",
                devices_in_words(count)
            )?;
        }
        Ok(())
    }

    fn fits(&self, device: &Device) -> bool {
        match self.pattern.contains('/') {
            true => fits(self.pattern, &device.key.to_string()),
            false => device.key.prefix() == DEFAULT_PREFIX && fits(self.pattern, device.key.id()),
        }
    }
}

fn devices_in_words(count: usize) -> String {
    match count {
        1 => "1 device".to_owned(),
        _ => format!("{count} devices"),
    }
}

/// Shows what would go, and asks.
fn ask(found: &[&Device]) -> Result<bool, Failure> {
    let mut stderr = io::stderr().lock();
    for device in found.iter().take(SHOWN) {
        let title = match &device.title {
            Some(title) => format!("  ({})", escaped(title)),
            None => String::new(),
        };
        writeln!(stderr, "  {}{title}", escaped(&device.key.to_string()))?;
    }
    if found.len() > SHOWN {
        writeln!(stderr, "  and {} more", found.len().saturating_sub(SHOWN))?;
    }
    let what = devices_in_words(found.len());
    if !io::stdin().is_terminal() {
        return Err(Failure::Failed(format!(
            "{what} and all that is recorded of them would be removed; `--yes` says that this is \
             meant"
        )));
    }
    write!(
        stderr,
        "Remove {what} and all that is recorded of them? This cannot be undone. [y/N] "
    )?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Whether a name fits a pattern.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut of) = (0, 0);
    // Behind the last star: where the pattern goes on, and what the star stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while of < name.len() {
        match pattern.get(at) {
            Some('*') => {
                at += 1;
                star = Some((at, of));
            }
            Some(&c) if c == '?' || name.get(of) == Some(&c) => {
                at += 1;
                of += 1;
            }
            _ => match &mut star {
                Some((behind, upto)) => {
                    *upto += 1;
                    (at, of) = (*behind, *upto);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern that fits more than it says costs readings that nobody can make again.
    #[test]
    fn patterns_fit_what_they_say() {
        for (pattern, name, expected) in [
            ("esp-*", "esp-1", true),
            ("esp-*", "esp-", true),
            ("esp-*", "esp", false),
            ("esp-*", "my-esp-1", false),
            ("*", "anything", true),
            ("*-?", "esp-1", true),
            ("*-?", "esp-12", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "aabab", true),
            ("*a*b", "aaba", false),
            ("kitchen", "kitchen", true),
            ("kitchen", "kitchen2", false),
            ("k?chen", "küchen", true),
            ("k?chen", "kuechen", false),
            ("", "", true),
            ("", "a", false),
            ("[ab]", "a", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
        // Not for minutes.
        assert!(!fits(&"*a".repeat(60), &"a".repeat(59)));
    }
}
