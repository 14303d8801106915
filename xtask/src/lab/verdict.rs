//! What came out of an experiment: figures, and whether a promise was broken.

use std::collections::BTreeSet;
use std::time::Duration;

use super::commander::{Outcome, Sent, Word};
use super::device::{self, Account};
use super::fault::Kept;
use super::recorder::Record;

/// The figures of an experiment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// From the beginning of the fault until the device said that contact is lost.
    pub noticed: Option<Duration>,
    /// From its end, or from the beginning of one that does not end, to the first new delivery.
    pub back: Option<Duration>,
    /// How often the connection was lost.
    pub losses: usize,
    /// Readings that the device took on.
    pub published: usize,
    /// Readings that the recorder has.
    pub delivered: usize,
    /// Readings that were acknowledged and that the recorder does not have, or that vanished in
    /// the device.
    pub lost: usize,
    /// Readings that the device said it gave up, or that still waited at the end.
    pub told: usize,
    /// Readings that came to the recorder once more.
    pub duplicated: usize,
    /// Commands that the broker took.
    pub commands: usize,
    /// Commands that the device executed.
    pub executed: usize,
}

/// What was seen, to be judged.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// Which device it was.
    pub kind: device::Kind,
    /// What the device said.
    pub account: &'a Account,
    /// What the recorder has.
    pub record: &'a Record,
    /// What was commanded.
    pub sent: &'a [Sent],
    /// What the broker promised to keep.
    pub kept: Kept,
}

/// Fills in the figures, and says which promises are broken.
pub fn judge(evidence: &Evidence<'_>, figures: &mut Figures) -> Vec<String> {
    let Evidence {
        account, record, ..
    } = evidence;
    let mut broken = Vec::new();
    figures.delivered = record.readings.len();
    figures.duplicated = record.again;
    let (vanished, missing) = match evidence.kind {
        device::Kind::Pc => (
            readings_by_account(account, figures, &mut broken),
            missing_by_account(account, record),
        ),
        // Its console does not tell them; the numbers have no gap.
        device::Kind::Virt => {
            let last = record.last();
            figures.published = last as usize;
            let gap = (1..=last).filter(|seq| !record.readings.contains_key(seq));
            let mut gap: BTreeSet<u32> = gap.collect();
            figures.told = gap.len().min(record.dropped as usize);
            for _ in 0..figures.told {
                gap.pop_first();
            }
            (0, gap)
        }
    };
    figures.lost = vanished + missing.len();
    if evidence.kept.readings && !missing.is_empty() {
        broken.push(format!(
            "readings that the broker acknowledged are missing: {}",
            numbers(&missing)
        ));
    }
    commands(evidence, figures, &mut broken);
    broken
}

/// Every reading that got a number was acknowledged, given up, or waits. How many were not.
fn readings_by_account(
    account: &Account,
    figures: &mut Figures,
    broken: &mut Vec<String>,
) -> usize {
    let accepted = account.accepted.unwrap_or(0);
    let ended = |seq: &u32| account.delivered.contains(seq) || account.given_up.contains_key(seq);
    let open: BTreeSet<u32> = (1..=accepted).filter(|seq| !ended(seq)).collect();
    let waiting = account.waiting.unwrap_or(0);
    figures.published = accepted as usize;
    figures.told = account.given_up.len() + waiting;
    if open.len() == waiting {
        return 0;
    }
    broken.push(format!(
        "readings without an end: {}, of which {waiting} are said to wait",
        numbers(&open)
    ));
    open.len().saturating_sub(waiting)
}

/// Readings that were acknowledged and are not there.
fn missing_by_account(account: &Account, record: &Record) -> BTreeSet<u32> {
    let there = |seq: &&u32| !record.readings.contains_key(seq);
    account.delivered.iter().filter(there).copied().collect()
}

fn commands(evidence: &Evidence<'_>, figures: &mut Figures, broken: &mut Vec<String>) {
    let executed = evidence.account.executed(evidence.kind);
    let executed: Vec<Word> = executed.into_iter().map(|(_, word)| word).collect();
    let taken = |sent: &&Sent| sent.outcome == Outcome::Taken;
    figures.commands = evidence.sent.iter().filter(taken).count();
    figures.executed = executed.len();
    let told = |must: bool| {
        let sent = evidence.sent.iter();
        let sent: Vec<_> = sent
            .map(|sent| (sent.word, must && sent.outcome == Outcome::Taken))
            .collect();
        explains(&sent, &executed)
    };
    if !told(false) {
        broken.push("a command was executed twice, or out of order".to_owned());
    } else if evidence.kept.commands && !told(true) {
        broken.push("a command that the broker took was not executed".to_owned());
    }
}

/// Whether these commands, each at most once and in this order, give what was executed. Of each:
/// whether it must be among it.
fn explains(sent: &[(Word, bool)], executed: &[Word]) -> bool {
    // How many of the executed ones the commands so far can explain.
    let mut explained = vec![false; executed.len() + 1];
    explained[0] = true;
    for (word, must) in sent {
        for count in (0..explained.len()).rev() {
            let before = count.checked_sub(1);
            let by_it = before.is_some_and(|before| explained[before] && executed[before] == *word);
            explained[count] = by_it || explained[count] && !must;
        }
    }
    explained[executed.len()]
}

/// Some numbers, and how many more.
fn numbers(all: &BTreeSet<u32>) -> String {
    let first: Vec<String> = all.iter().take(8).map(u32::to_string).collect();
    match all.len().checked_sub(8) {
        None | Some(0) if all.is_empty() => "none".to_owned(),
        None | Some(0) => first.join(", "),
        Some(more) => format!("{} and {more} more", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const ALL: Kept = Kept {
        readings: true,
        commands: true,
    };

    fn account(accepted: u32, delivered: &[u32], waiting: usize) -> Account {
        Account {
            accepted: Some(accepted),
            delivered: delivered.iter().copied().collect(),
            waiting: Some(waiting),
            ..Account::default()
        }
    }

    fn record(readings: &[u32]) -> Record {
        let now = Instant::now();
        Record {
            readings: readings.iter().map(|seq| (*seq, now)).collect(),
            ..Record::default()
        }
    }

    fn judged(kind: device::Kind, account: &Account, record: &Record, kept: Kept) -> Vec<String> {
        let evidence = Evidence {
            kind,
            account,
            record,
            sent: &[],
            kept,
        };
        judge(&evidence, &mut Figures::default())
    }

    /// A reading that vanished in the device, or at a broker that promised to keep it, is not
    /// seen; or an honest loss is taken for one.
    #[test]
    fn what_is_lost_unseen_is_found() {
        let pc = device::Kind::Pc;
        assert!(judged(pc, &account(3, &[1, 2, 3], 0), &record(&[1, 2, 3]), ALL).is_empty());
        assert!(judged(pc, &account(3, &[1, 2], 1), &record(&[1, 2]), ALL).is_empty());
        let vanished = judged(pc, &account(3, &[1, 3], 0), &record(&[1, 3]), ALL);
        assert!(vanished[0].contains("without an end: 2,"), "{vanished:?}");
        // More is said to wait than there is.
        assert_eq!(
            judged(pc, &account(3, &[1, 3], 2), &record(&[1, 3]), ALL).len(),
            1
        );
        let missing = judged(pc, &account(3, &[1, 2, 3], 0), &record(&[1, 2]), ALL);
        assert!(missing[0].ends_with("missing: 3"), "{missing:?}");
        let forgot = Kept {
            readings: false,
            ..ALL
        };
        assert!(judged(pc, &account(3, &[1, 2, 3], 0), &record(&[1, 2]), forgot).is_empty());
        let mut given_up = account(3, &[1, 3], 0);
        given_up.given_up.insert(2, "superseded".into());
        assert!(judged(pc, &given_up, &record(&[1, 3]), ALL).is_empty());
    }

    /// A gap in a board's numbers is not seen.
    #[test]
    fn gaps_of_a_board_are_found() {
        let virt = device::Kind::Virt;
        let none = Account::default();
        assert!(judged(virt, &none, &record(&[1, 2, 3]), ALL).is_empty());
        assert_eq!(judged(virt, &none, &record(&[1, 3]), ALL).len(), 1);
        let mut told = record(&[1, 3]);
        told.dropped = 1;
        assert!(judged(virt, &none, &told, ALL).is_empty());
    }

    /// A command that is done twice, or not at all, is not seen.
    #[test]
    fn commands_are_done_once() {
        use Word::{Off, On, Toggle};
        let sent = [(On, true), (Toggle, true), (Off, true)];
        assert!(explains(&sent, &[On, Toggle, Off]));
        for wrong in [
            &[On, On, Toggle, Off][..],
            &[On, Toggle],
            &[Toggle, On, Off],
            &[On, Toggle, Off, On],
            &[],
        ] {
            assert!(!explains(&sent, wrong), "{wrong:?}");
        }
        let unsure = [(On, true), (Toggle, false), (Off, true)];
        assert!(explains(&unsure, &[On, Off]) && explains(&unsure, &[On, Toggle, Off]));
        assert!(!explains(&unsure, &[On, Toggle, Toggle, Off]));
        assert!(explains(&[], &[]));
    }

    /// A row of a hundred numbers.
    #[test]
    fn numbers_are_few() {
        assert_eq!(numbers(&BTreeSet::new()), "none");
        assert_eq!(numbers(&(1..=3).collect()), "1, 2, 3");
        assert!(numbers(&(1..=30).collect()).ends_with("8 and 22 more"));
    }
}
