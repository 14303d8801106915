//! Messages, what became of them, and messages of the person.

use std::collections::BTreeMap;

use aldis_device::{Letter, Mail, Mark, Note, Outgoing, Saved};
use aldis_flash::store::{Error, Store};
use aldis_protocol::{Lamp, MessageState, Priority, Reason};
use aldis_world::flash::Flash;
use embedded_storage_async::nor_flash::NorFlash;

use super::{PAGES, Small, command, cuts, put_entry, whole};

/// The newest messages and what became of them, as a store of this many places has
/// them.
#[derive(Clone, Debug, PartialEq)]
struct Letters(Vec<Option<(Letter, Option<Mark>)>>);

impl Letters {
    fn new(places: usize) -> Self {
        Self(vec![None; places])
    }

    fn at(&mut self, number: u32) -> &mut Option<(Letter, Option<Mark>)> {
        let places = self.0.len();
        &mut self.0[number as usize % places]
    }

    fn keep(&mut self, letter: &Letter) {
        *self.at(letter.number) = Some((letter.clone(), None));
    }

    fn mark(&mut self, new: &Mark) {
        if let Some((letter, mark)) = self.at(new.number)
            && letter.number == new.number
        {
            *mark = Some(*new);
        }
    }

    /// What a store has.
    fn recall<F: NorFlash>(store: &mut Store<F>, places: usize) -> Self {
        let mut found = Self::new(places);
        store.recall_letters(|letter, mark| {
            let at = found.at(letter.number);
            assert_eq!(*at, None);
            *at = Some((letter, mark));
        });
        found
    }
}

/// All that a store has of messages.
#[derive(Clone, Debug, PartialEq)]
struct Held {
    letters: Letters,
    notes: BTreeMap<u32, Note>,
    outgoing: BTreeMap<u32, Outgoing>,
}

impl Held {
    fn new() -> Self {
        Self {
            letters: Letters::new(Mail::PLACES),
            notes: BTreeMap::new(),
            outgoing: BTreeMap::new(),
        }
    }

    fn recall<F: NorFlash>(store: &mut Store<F>) -> Self {
        let mut held = Self::new();
        held.letters = Letters::recall(store, Mail::PLACES);
        store.recall_notes(|note| {
            assert_eq!(held.notes.insert(note.number, note), None);
        });
        store.recall_outgoing(|outgoing| {
            assert_eq!(held.outgoing.insert(outgoing.number, outgoing), None);
        });
        held
    }

    /// Something that a device does, with `last` being the last number of everything. What
    /// there is after it.
    fn after(&self, last: &mut u32, random: &mut fastrand::Rng) -> (Self, Act) {
        let mut after = self.clone();
        let letters = self.letters.0.iter().flatten();
        let letters: Vec<u32> = letters.map(|(letter, _)| letter.number).collect();
        let kept = |of: &[u32], random: &mut fastrand::Rng| random.choice(of).copied();
        let place = |number: u32, of: usize| number as usize % of;
        *last += 1;
        let number = *last;
        let act = match random.u8(0..12) {
            0..3 => {
                let letter = any_letter(number, random);
                after.letters.keep(&letter);
                Act::Letter(letter)
            }
            3..5 => {
                let of = kept(&letters, random).unwrap_or(number);
                let mark = any_mark(of, random);
                after.letters.mark(&mark);
                Act::Mark(mark)
            }
            5..8 => {
                let taken = |of: &u32| place(*of, Mail::NOTES) == place(number, Mail::NOTES);
                match self.notes.keys().find(|of| taken(of)) {
                    Some(&of) => Act::Told(of),
                    None => Act::Note(any_note(number, random)),
                }
            }
            8 => match kept(&self.notes.keys().copied().collect::<Vec<_>>(), random) {
                Some(of) => Act::Told(of),
                None => Act::Note(any_note(number, random)),
            },
            _ => {
                let of = |of: &u32| place(*of, Mail::OUTGOING) == place(number, Mail::OUTGOING);
                match self.outgoing.keys().find(|kept| of(kept)) {
                    Some(&of) => Act::Sent(of),
                    None => Act::Send(any_outgoing(number, random)),
                }
            }
        };
        match &act {
            Act::Letter(_) | Act::Mark(_) => {}
            Act::Note(note) => drop(after.notes.insert(note.number, note.clone())),
            Act::Told(number) => drop(after.notes.remove(number)),
            Act::Send(outgoing) => {
                after.outgoing.insert(outgoing.number, outgoing.clone());
            }
            Act::Sent(number) => drop(after.outgoing.remove(number)),
        }
        (after, act)
    }
}

/// What a device does with its messages.
#[derive(Clone, Debug)]
enum Act {
    Letter(Letter),
    Mark(Mark),
    Note(Note),
    Told(u32),
    Send(Outgoing),
    Sent(u32),
}

impl Act {
    fn write(&self, flash: &mut Flash<4096>) -> Result<(), Error> {
        let mut store = whole(flash);
        match self {
            Self::Letter(letter) => store.keep_letter(letter),
            Self::Mark(mark) => store.mark_letter(mark),
            Self::Note(note) => store.keep_note(note),
            Self::Told(number) => store.forget_note(*number),
            Self::Send(outgoing) => store.keep_outgoing(outgoing),
            Self::Sent(number) => store.forget_outgoing(*number),
        }
    }
}

fn any_note(number: u32, random: &mut fastrand::Rng) -> Note {
    const STATES: [MessageState; 4] = [
        MessageState::Read,
        MessageState::Expired,
        MessageState::Replaced,
        MessageState::Refused,
    ];
    let state = *random.choice(&STATES[..]).unwrap();
    let refused = state == MessageState::Refused;
    Note {
        number,
        id: text(&"\u{17e}".repeat(random.usize(0..=18))),
        state,
        reason: refused.then(|| *random.choice(Reason::ALL).unwrap()),
        letter: random.bool().then(|| random.u32(..u32::MAX)),
    }
}

fn any_outgoing(number: u32, random: &mut fastrand::Rng) -> Outgoing {
    let mut some = |most: usize| "\u{17e}".repeat(random.usize(0..=most / 2));
    let (id, to, words) = (some(36), some(64), some(256));
    Outgoing {
        number,
        id: text(&id),
        to: text(&to),
        text: text(&words),
    }
}

/// The longest there can be.
pub(super) fn longest_note(number: u32) -> Note {
    Note {
        number,
        id: text(&format!("{number:036}")),
        state: MessageState::Refused,
        reason: Some(Reason::Id),
        letter: None,
    }
}

/// The longest there can be.
pub(super) fn longest_outgoing(number: u32) -> Outgoing {
    let Letter { id, from, text, .. } = longest(number);
    Outgoing {
        number,
        id,
        to: from,
        text,
    }
}

fn text<const N: usize>(text: &str) -> heapless::String<N> {
    text.try_into().unwrap()
}

/// The longest there can be.
pub(super) fn longest(number: u32) -> Letter {
    Letter {
        number,
        id: text(&format!("{number:036}")),
        from: text(&"f".repeat(64)),
        text: text(&format!("{number:0256}")),
        priority: Priority::High,
        expires_s: Some(u32::MAX - 1),
    }
}

fn any_letter(number: u32, random: &mut fastrand::Rng) -> Letter {
    if random.u8(0..4) == 0 {
        return longest(number);
    }
    let mut some = |most: usize| "\u{17e}".repeat(random.usize(0..=most / 2));
    let (id, from, words) = (some(36), some(64), some(256));
    Letter {
        number,
        id: text(&id),
        from: text(&from),
        text: text(&words),
        priority: *random.choice(Priority::ALL).unwrap(),
        expires_s: random.bool().then(|| random.u32(..u32::MAX)),
    }
}

pub(super) fn mark(number: u32, state: MessageState) -> Mark {
    Mark {
        number,
        state,
        told: false,
        age_ms: 0,
    }
}

fn any_mark(number: u32, random: &mut fastrand::Rng) -> Mark {
    const STATES: [MessageState; 3] = [
        MessageState::Received,
        MessageState::Read,
        MessageState::Expired,
    ];
    Mark {
        number,
        state: *random.choice(&STATES[..]).unwrap(),
        told: random.bool(),
        age_ms: random.u32(..),
    }
}

/// A message that is gone after a restart, is another's, or is read that was not; and
/// in a small store a message that pushes newer ones out, or the lamp.
#[test]
fn the_newest_messages_are_recalled_as_they_were() {
    for (pages, places) in [(6, 9), (12, 16), (48, 16)] {
        for seed in 0..8 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut flash = Flash::<4096>::new(pages);
            let mut saved = Saved {
                lamp: Lamp::On,
                ..Saved::default()
            };
            command(&mut saved.recent, 7);
            let mut store = whole(&mut flash);
            store.save(&saved).unwrap();
            let mut letters = Letters::new(places);
            for number in 1..=120 {
                let letter = match seed {
                    0 => longest(number),
                    _ => any_letter(number, &mut random),
                };
                let mut store = whole(&mut flash);
                store.keep_letter(&letter).unwrap();
                letters.keep(&letter);
                for _ in 0..random.u8(0..4) {
                    // Also of one whose place another has.
                    let of = number - random.u32(0..number.min(20));
                    let mark = any_mark(of, &mut random);
                    store.mark_letter(&mark).unwrap();
                    letters.mark(&mark);
                }
                let mut store = whole(&mut flash);
                let found = Letters::recall(&mut store, places);
                assert_eq!(found, letters, "{pages} pages, seed {seed}, {number}");
            }
            let mut store = whole(&mut flash);
            assert_eq!(store.saved(), saved);
        }
    }
}

/// A store without room for messages forgets the lamp for one, or stops.
#[test]
fn a_store_may_be_too_small_for_messages() {
    for pages in [4, 5] {
        let mut flash = Flash::<4096>::new(pages);
        let mut store = whole(&mut flash);
        let saved = Saved {
            lamp: Lamp::On,
            ..Saved::default()
        };
        store.save(&saved).unwrap();
        assert_eq!(store.keep_letter(&longest(1)), Err(Error::Geometry));
        let read = mark(1, MessageState::Read);
        assert_eq!(store.mark_letter(&read), Err(Error::Geometry));
        store.recall_letters(|_, _| panic!("a message from nowhere"));
        assert_eq!(store.saved(), saved);
    }
    // The longest does not fit on a page.
    let mut flash = Small::new(PAGES);
    let mut store = whole(&mut flash);
    assert_eq!(store.keep_letter(&longest(1)), Err(Error::Geometry));
    store.recall_letters(|_, _| panic!("a message from nowhere"));
}

/// Power goes while a message is written, or what became of it, or one of the person: there
/// is what was before, or what was to be, and nothing else of the others.
#[test]
fn a_power_cut_leaves_the_old_messages_or_the_new() {
    let mut random = fastrand::Rng::with_seed(0x1e77e5);
    let mut flash = Flash::<4096>::new(PAGES);
    let mut held = Held::new();
    let saved = Saved {
        lamp: Lamp::On,
        ..Saved::default()
    };
    whole(&mut flash).save(&saved).unwrap();
    let mut last = 0;
    let (mut tried, mut notes, mut outgoing) = (0, 0, 0);
    for step in 0..220 {
        let (after, act) = held.after(&mut last, &mut random);
        let mut rehearsal = flash.clone();
        act.write(&mut rehearsal).unwrap();
        let operations = rehearsal.operations() - flash.operations();
        for operation in 0..operations {
            for cut in cuts(&mut random) {
                let what = format!("step {step}, {act:?}, operation {operation}, {cut:?}");
                let mut flash = flash.clone();
                flash.cut(operation, cut);
                let written = act.write(&mut flash);
                assert!(flash.is_off(), "{what}");
                flash.restore();
                let mut store = whole(&mut flash);
                let mut found = Held::recall(&mut store);
                assert!(
                    found == after || found == held && written.is_err(),
                    "{what}: {held:?}, {found:?}"
                );
                assert_eq!(store.saved(), saved, "{what}");
                let mut last = last;
                for _ in 0..6 {
                    let (after, act) = found.after(&mut last, &mut random);
                    act.write(&mut flash).unwrap();
                    found = after;
                }
                assert_eq!(Held::recall(&mut whole(&mut flash)), found, "{what}");
                tried += 1;
            }
        }
        act.write(&mut flash).unwrap();
        held = after;
        notes = notes.max(held.notes.len());
        outgoing = outgoing.max(held.outgoing.len());
    }
    assert!(tried > 2_000, "{tried}");
    assert!(
        notes > 10 && outgoing == Mail::OUTGOING,
        "{notes} {outgoing}"
    );
    assert!(flash.erased()[2..6].iter().all(|erased| *erased > 0));
}

/// As many as there can be, all of the longest, one of which pushes another one out.
#[test]
fn all_of_the_longest_find_room() {
    for pages in [12, 48] {
        let mut flash = Flash::<4096>::new(pages);
        let mut store = whole(&mut flash);
        assert_eq!(store.letter_places(), Mail::PLACES);
        assert_eq!(store.other_places(), (Mail::NOTES, Mail::OUTGOING));
        let mut held = Held::new();
        for number in 1..=400 {
            let letter = longest(number);
            store.keep_letter(&letter).unwrap();
            held.letters.keep(&letter);
            let mark = mark(number, MessageState::Read);
            store.mark_letter(&mark).unwrap();
            held.letters.mark(&mark);
            let note = longest_note(number);
            store.keep_note(&note).unwrap();
            held.notes.insert(number, note);
            if held.notes.len() > Mail::NOTES {
                held.notes.pop_first();
            }
            let outgoing = longest_outgoing(number);
            store.keep_outgoing(&outgoing).unwrap();
            held.outgoing.insert(number, outgoing);
            if held.outgoing.len() > Mail::OUTGOING {
                held.outgoing.pop_first();
            }
            assert_eq!(Held::recall(&mut store), held, "{pages} pages, {number}");
        }
    }
    // What has no place is told.
    let mut flash = Flash::<4096>::new(6);
    let mut store = whole(&mut flash);
    assert_eq!(store.other_places(), (1, 0));
    assert_eq!(
        store.keep_outgoing(&longest_outgoing(1)),
        Err(Error::Geometry)
    );
    assert_eq!(store.keep_note(&longest_note(1)), Err(Error::Geometry));
    assert_eq!(store.forget_note(1), Err(Error::Geometry));
    store.recall_notes(|_| panic!("a note from nowhere"));
    store.recall_outgoing(|_| panic!("a message from nowhere"));
}

/// What another firmware kept: a letter of before there were notes; and a reason that would
/// be another one with the next firmware.
#[test]
fn what_other_firmware_kept_is_read() {
    let part = 20 * 4096..24 * 4096;
    let mut flash = Flash::<4096>::new(48);
    let letter = b"\x05\0\0\0\xff\xff\xff\xff\x02\x01\x04\x007hallcome down";
    put_entry(&mut flash, part.clone(), 0x20 + 5, letter);
    let mark = [5, 0, 0, 0, 1, 1, 0, 0, 0x10, 0x27, 0, 0];
    put_entry(&mut flash, part.clone(), 0x40 + 5, &mark);
    let mut found = Vec::new();
    let mut store = whole(&mut flash);
    store.recall_letters(|letter, mark| found.push((letter, mark)));
    store.recall_notes(|_| panic!("a note from nowhere"));
    store.recall_outgoing(|_| panic!("a message from nowhere"));
    let [(letter, Some(mark))] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (&*letter.id, &*letter.from, &*letter.text),
        ("7", "hall", "come down")
    );
    assert_eq!(
        (mark.state, mark.told, mark.age_ms),
        (MessageState::Read, true, 10_000)
    );
    let reasons = [
        "not UTF-8",
        "malformed JSON",
        "no text",
        "the text is longer than 256 bytes",
        "the id is not a string of 1 to 36 bytes without control characters",
        "from is not a device id",
        "the priority is neither low, normal nor high",
        "expires_s is not a whole number",
        "neither on, off nor toggle",
        "wpm is not a whole number from 5 to 40",
        "larger than the device can receive",
        "not the word restart",
    ];
    for (code, reason) in (1..).zip(reasons) {
        let note = [7, 0, 0, 0, 255, 255, 255, 255, 4, code, 0, 0, b'i', b'd'];
        put_entry(&mut flash, part.clone(), 0x60 + 7, &note);
        let mut found = None;
        whole(&mut flash).recall_notes(|note| found = Some(note));
        let found = found.unwrap();
        assert_eq!(found.reason.unwrap().as_str(), reason);
        assert_eq!((found.number, &*found.id, found.letter), (7, "id", None));
        assert_eq!(found.state, MessageState::Refused);
    }
    assert_eq!(reasons.len(), Reason::ALL.len());
    // A state or a reason of a later one.
    for (state, code, known) in [(9, 1, false), (0, 0, false), (4, 200, true)] {
        let note = [7, 0, 0, 0, 9, 0, 0, 0, state, code, 0, 0, b'i', b'd'];
        put_entry(&mut flash, part.clone(), 0x60 + 7, &note);
        let mut found = None;
        whole(&mut flash).recall_notes(|note| found = Some(note));
        assert_eq!(found.is_some(), known);
        assert_eq!(found.and_then(|note| note.reason), None);
    }
}

/// Whatever is in the pages of messages: later ones are kept, and the lamp is not
/// touched.
#[test]
fn messages_are_begun_anew_over_garbage() {
    const PLACES: usize = 16;
    for seed in 0..200 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut flash = Flash::<4096>::new(PAGES);
        let mut saved = Saved::default();
        command(&mut saved.recent, seed);
        whole(&mut flash).save(&saved).unwrap();
        let mut number = random.u32(0..60);
        for number in 1..=number {
            let mut store = whole(&mut flash);
            store.keep_letter(&any_letter(number, &mut random)).unwrap();
            let mark = any_mark(number, &mut random);
            store.mark_letter(&mark).unwrap();
        }
        let pages = &mut flash.bytes()[2 * 4096..6 * 4096];
        let len = *random.choice(&[1, 4, 400, 4096, 4 * 4096][..]).unwrap();
        let start = random.usize(0..=pages.len() - len);
        random.fill(&mut pages[start..start + len]);
        let mut store = whole(&mut flash);
        store.recall_letters(|letter, _| number = number.max(letter.number));
        // The first one may find that all is to be erased.
        let mut letters = Letters::new(PLACES);
        for number in number + 1..=number + 20 {
            let letter = any_letter(number, &mut random);
            store.keep_letter(&letter).unwrap();
            letters.keep(&letter);
            let mark = any_mark(number, &mut random);
            store.mark_letter(&mark).unwrap();
            letters.mark(&mark);
        }
        let mut store = whole(&mut flash);
        let found = Letters::recall(&mut store, PLACES);
        assert_eq!(found, letters, "seed {seed}");
        assert_eq!(store.saved(), saved, "seed {seed}");
    }
}

/// What the flash lost had this number: the mark of that would make a new message a
/// read one.
#[test]
fn a_mark_of_another_message_does_not_count() {
    let part = 20 * 4096..24 * 4096;
    let mut flash = Flash::<4096>::new(48);
    let mut store = whole(&mut flash);
    store.keep_letter(&longest(5)).unwrap();
    store.mark_letter(&mark(5, MessageState::Read)).unwrap();
    // No message that can be read.
    put_entry(&mut flash, part, 0x20 + 5, &[1]);
    let mut store = whole(&mut flash);
    store.recall_letters(|_, _| panic!("a message from nowhere"));
    // A mark without a message is none.
    store.mark_letter(&mark(5, MessageState::Expired)).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let letter = any_letter(5, &mut random);
    store.keep_letter(&letter).unwrap();
    let mut found = Vec::new();
    whole(&mut flash).recall_letters(|letter, mark| found.push((letter, mark)));
    let [(kept, Some(mark))] = &found[..] else {
        panic!("{found:?}");
    };
    assert_eq!(
        (kept, mark.state, mark.told),
        (&letter, MessageState::Received, false)
    );
}

/// Worn pages of messages: the rest goes on.
#[test]
fn worn_pages_of_messages_are_told() {
    let mut flash = Flash::<4096>::new(12);
    for page in 2..6 {
        flash.wear_out(page);
    }
    let mut store = whole(&mut flash);
    assert_eq!(store.keep_letter(&longest(1)), Err(Error::Flash));
    assert_eq!(store.keep_note(&longest_note(1)), Err(Error::Flash));
    assert_eq!(store.keep_outgoing(&longest_outgoing(1)), Err(Error::Flash));
    store.recall_notes(|_| panic!("a note from nowhere"));
    store.mark_letter(&mark(1, MessageState::Read)).unwrap();
    store.recall_letters(|_, _| panic!("a message from nowhere"));
    let saved = Saved {
        boot: 3,
        ..Saved::default()
    };
    store.save(&saved).unwrap();
    assert_eq!(store.saved(), saved);
}
