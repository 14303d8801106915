//! Fingers on the button of a virtual device: what a key of the keyboard stands for, as a
//! contact that closes and opens.

use std::time::Duration;

use aldis_device::Button as Contact;
use aldis_pc::button::Button;
use tokio::sync::mpsc::{self, Sender};

/// A unit of Morse code in milliseconds, at 12 words a minute.
const UNIT_MS: u32 = 100;
/// Milliseconds that nobody takes for a bounce or a long press.
const TAP_MS: u32 = 100;

/// What is done with the button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gesture {
    /// Read the message, or turn the page.
    Short,
    /// Reply.
    Long,
    /// Open the list of presets, or close it.
    Double,
    Dot,
    Dash,
    /// What is between letters, after what is after each mark.
    Letter,
    /// What is between words, after what is between letters.
    Word,
}

impl Gesture {
    /// The contact, closed or not, and for how many milliseconds. After it the next gesture can
    /// begin, and is one of its own.
    const fn moves(self) -> &'static [(bool, u32)] {
        match self {
            Self::Short => &[(true, TAP_MS), (false, Contact::DOUBLE_MS + TAP_MS)],
            Self::Long => &[(true, Contact::LONG_MS + TAP_MS), (false, TAP_MS)],
            Self::Double => &[
                (true, TAP_MS),
                (false, TAP_MS),
                (true, TAP_MS),
                (false, TAP_MS),
            ],
            Self::Dot => &[(true, UNIT_MS), (false, UNIT_MS)],
            Self::Dash => &[(true, 3 * UNIT_MS), (false, UNIT_MS)],
            Self::Letter => &[(false, 2 * UNIT_MS)],
            Self::Word => &[(false, 4 * UNIT_MS)],
        }
    }

    /// How many may wait: a key that is held down would press on long after it was let go,
    /// but Morse code is typed faster than it is keyed.
    const fn most_waiting(self) -> usize {
        match self {
            Self::Short | Self::Long | Self::Double => 3,
            Self::Dot | Self::Dash | Self::Letter | Self::Word => WAITING,
        }
    }
}

/// How many gestures may wait at most.
const WAITING: usize = 256;

/// A hand at the button.
#[derive(Debug)]
pub struct Fingers(Sender<Gesture>);

impl Fingers {
    /// Lays them on the button. They stay until this is dropped.
    pub fn on(button: Button) -> Self {
        let (gestures, mut to_do) = mpsc::channel::<Gesture>(WAITING);
        tokio::spawn(async move {
            while let Some(gesture) = to_do.recv().await {
                for (pressed, ms) in gesture.moves() {
                    button.set(*pressed);
                    tokio::time::sleep(Duration::from_millis((*ms).into())).await;
                }
            }
        });
        Self(gestures)
    }

    /// Does this after what is still to be done; or not at all, if that is too much.
    pub fn make(&self, gesture: Gesture) {
        let waiting = self.0.max_capacity().saturating_sub(self.0.capacity());
        if waiting < gesture.most_waiting() {
            let _ = self.0.try_send(gesture);
        }
    }
}

#[cfg(test)]
mod tests {
    use aldis_device::morse::Receiver;
    use aldis_device::{Certain, Press};
    use aldis_mqtt::Instant;

    use super::*;

    /// Gestures one after the other without a pause: what each moment's contact is.
    fn contact(gestures: &[Gesture]) -> Vec<bool> {
        gestures
            .iter()
            .flat_map(|gesture| gesture.moves())
            .flat_map(|(pressed, ms)| std::iter::repeat_n(*pressed, *ms as usize))
            .collect()
    }

    /// Two short presses in a row would open the list, or a long one be none.
    #[test]
    fn each_key_is_the_press_that_it_stands_for() {
        let keys = [
            (Gesture::Short, Press::Short),
            (Gesture::Long, Press::Long),
            (Gesture::Double, Press::Double),
        ];
        for first in keys {
            for second in keys {
                let mut button = Contact::new();
                let mut presses = Vec::new();
                let both = contact(&[first.0, second.0, second.0]);
                for (ms, pressed) in (1..).zip(both) {
                    let now = Instant::from_millis(ms);
                    button.contact(pressed, now);
                    while let Some(certain) = button.run(now) {
                        if let Certain::Press(press) = certain {
                            presses.push(press);
                        }
                    }
                }
                assert_eq!(presses, [first.1, second.1, second.1]);
            }
        }
    }

    /// What is typed in dots and dashes is heard as something else.
    #[test]
    fn marks_are_heard_as_letters() {
        let gestures: Vec<_> = "... --- .../- ...."
            .chars()
            .filter_map(|character| match character {
                '.' => Some(Gesture::Dot),
                '-' => Some(Gesture::Dash),
                _ => None,
            })
            .collect();
        assert_eq!(gestures.len(), 14);
        let mut keyed = Vec::new();
        for (n, letter) in [3, 3, 3, 1, 4].into_iter().enumerate() {
            let from = [0, 3, 6, 9, 10][n];
            keyed.extend_from_slice(&gestures[from..from + letter]);
            keyed.push(Gesture::Letter);
            if n == 2 {
                keyed.push(Gesture::Word);
            }
        }
        let mut receiver = Receiver::new();
        let mut last = false;
        let mut heard = None;
        let silence = std::iter::repeat_n(false, 5_000);
        for (ms, pressed) in (1..).zip(contact(&keyed).into_iter().chain(silence)) {
            let now = Instant::from_millis(ms);
            if pressed != last {
                last = pressed;
                heard = heard.or(receiver.key(pressed, now));
            }
            heard = heard.or(receiver.run(now));
        }
        let heard = heard.expect("an over");
        assert_eq!((heard.text(), heard.wpm()), ("SOS TH", 12));
    }

    /// A key that is held down would press on for minutes.
    #[tokio::test]
    async fn a_key_that_is_held_down_is_not_remembered() {
        let fingers = Fingers::on(Button::default());
        for _ in 0..100 {
            fingers.make(Gesture::Short);
        }
        assert!(WAITING - fingers.0.capacity() <= 3);
        fingers.make(Gesture::Dot);
        assert_eq!(WAITING - fingers.0.capacity(), 4);
    }
}
