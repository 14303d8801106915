//! A picture on the terminal: drawn by one thread, read by another, so that neither a slow terminal nor one
//! that has vanished keeps the device waiting.

use std::io::{self, IsTerminal, Stdout, Write, stdin, stdout};
use std::panic;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc::UnboundedSender;

use crate::device::colour_or_plain;
use crate::fingers::Gesture;
use crate::words::Style;

/// The present is shown anew this often, even if nothing happens. That also finds out that the
/// terminal has vanished, which reading from it does not.
const BEAT: Duration = Duration::from_secs(1);
/// Pictures follow each other no faster.
const FRAME: Duration = Duration::from_millis(40);
/// How long giving the terminal back may take.
const END: Duration = Duration::from_millis(300);
/// The thread that draws.
const SCREEN: &str = "screen";

/// Whether the terminal is ours. Locked while something is drawn.
static OURS: Mutex<bool> = Mutex::new(false);

/// What the person at the terminal wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    Quit,
    /// Switch the lamp.
    Toggle,
    /// Show the other view.
    View,
    /// Use the device's button.
    Button(Gesture),
    /// Nobody is there any more.
    Gone,
    /// Drawing has panicked.
    Broken,
}

/// What the terminal can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Looks {
    pub colour: bool,
    /// Else ASCII alone.
    pub unicode: bool,
}

impl Looks {
    /// As far as the environment tells.
    pub fn here() -> Self {
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
            .iter()
            .filter_map(|name| std::env::var(name).ok())
            .find(|value| !value.is_empty())
            .unwrap_or_default()
            .to_lowercase();
        Self {
            colour: colour_or_plain() == Style::Colour,
            unicode: cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8"),
        }
    }
}

/// Whether there is a terminal on which a picture can be drawn.
pub fn can_draw() -> bool {
    stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// A terminal that shows a picture.
pub struct Screen {
    wake: SyncSender<()>,
}

impl Screen {
    /// Takes the terminal and draws on it until the end. Keys are read where standard input is
    /// a terminal; `keys` knows characters that mean something besides those that all pictures
    /// have.
    pub fn start(
        draw: impl FnMut(&mut Frame<'_>) + Send + 'static,
        keys: fn(char) -> Option<Wish>,
        wishes: UnboundedSender<Wish>,
    ) -> io::Result<Self> {
        restore_on_panic();
        let has_keys = stdin().is_terminal();
        let terminal = take(has_keys)?;
        let (wake, woken) = mpsc::sync_channel(1);
        let gone = Gone(wishes.clone());
        let drawing = thread::Builder::new().name(SCREEN.into()).spawn(move || {
            let _gone = gone;
            draw_all(terminal, &woken, draw);
        });
        let started = match (drawing, has_keys) {
            (Ok(_), true) => {
                let waker = wake.clone();
                let resized = move || {
                    let _ = waker.try_send(());
                };
                let reading = thread::Builder::new().name("keys".into());
                let reading = reading.spawn(move || read(&wishes, keys, resized));
                reading.map(drop)
            }
            (drawing, _) => drawing.map(drop),
        };
        match started {
            Ok(()) => Ok(Self { wake }),
            Err(error) => {
                restore();
                Err(error)
            }
        }
    }

    /// Says that the model has changed.
    pub fn wake(&self) -> impl Fn() + use<> {
        let wake = self.wake.clone();
        move || {
            let _ = wake.try_send(());
        }
    }

    /// Gives the terminal back. One that takes nothing is not waited for.
    pub fn end(self) {
        let (done, restored) = mpsc::channel();
        let restoring = thread::Builder::new().spawn(move || {
            restore();
            let _ = done.send(());
        });
        if restoring.is_ok() {
            let _ = restored.recv_timeout(END);
        }
    }
}

/// The model of a picture, whatever happened to another thread.
pub fn lock<T>(model: &Mutex<T>) -> MutexGuard<'_, T> {
    model.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells, when it is dropped, that nothing is drawn any more.
struct Gone(UnboundedSender<Wish>);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = self.0.send(match thread::panicking() {
            true => Wish::Broken,
            false => Wish::Gone,
        });
    }
}

fn draw_all(
    mut terminal: Terminal<CrosstermBackend<Stdout>>,
    woken: &mpsc::Receiver<()>,
    mut draw: impl FnMut(&mut Frame<'_>),
) {
    loop {
        {
            let ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
            if !*ours || terminal.draw(&mut draw).is_err() {
                return;
            }
        }
        thread::sleep(FRAME);
        if woken.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn read(wishes: &UnboundedSender<Wish>, keys: fn(char) -> Option<Wish>, resized: impl Fn()) {
    while let Ok(event) = event::read() {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => {
                let Some(wish) = wish(key, keys) else {
                    continue;
                };
                if wishes.send(wish).is_err() {
                    return;
                }
            }
            Event::Resize(..) => resized(),
            _ => {}
        }
    }
}

/// What a key means.
fn wish(key: KeyEvent, keys: fn(char) -> Option<Wish>) -> Option<Wish> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Wish::Quit),
        _ if control => None,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Char(character) => keys(character.to_ascii_lowercase()),
        _ => None,
    }
}

/// What stands for the button where it is no Morse key.
pub fn button(key: char) -> Option<Wish> {
    Some(Wish::Button(match key {
        'b' => Gesture::Short,
        'r' => Gesture::Long,
        'p' => Gesture::Double,
        _ => return None,
    }))
}

fn take(has_keys: bool) -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    if has_keys {
        enable_raw_mode()?;
    }
    *OURS.lock().unwrap_or_else(PoisonError::into_inner) = true;
    let taken = execute!(stdout(), EnterAlternateScreen)
        .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
    if taken.is_err() {
        restore();
    }
    taken
}

/// Gives the terminal back, if it is ours.
fn restore() {
    let _ = disable_raw_mode();
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *ours) {
        let _ = execute!(stdout(), LeaveAlternateScreen, Show);
    }
}

/// What is written to it becomes the lines of a picture: those on standard error would run
/// through it.
pub struct Notes<F>(pub F);

impl<F: FnMut(String)> Write for Notes<F> {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        (self.0)(String::from_utf8_lossy(text).trim().to_owned());
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whatever panics, the message is readable and the terminal usable. A panic of the broker's own
/// threads is the broker's business, and goes to the log.
fn restore_on_panic() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let name = thread::current().name().map(str::to_owned);
        if name.as_deref() == Some("aldis-hub") {
            tracing::error!("a part of the broker failed: {info}");
            return;
        }
        if name.as_deref() == Some(SCREEN) {
            // It has locked the terminal itself.
            let _ = disable_raw_mode();
            let _ = execute!(stdout(), LeaveAlternateScreen, Show);
        } else {
            restore();
        }
        usual(info);
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The way out that the picture names, or that everybody tries, would not be one.
    #[test]
    fn keys_do_what_the_picture_says() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers), button);
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Wish::Quit));
        }
        let control_c = key(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(control_c, Some(Wish::Quit));
        for (character, gesture) in [
            ('b', Gesture::Short),
            ('R', Gesture::Long),
            ('p', Gesture::Double),
        ] {
            let pressed = key(KeyCode::Char(character), KeyModifiers::NONE);
            assert_eq!(pressed, Some(Wish::Button(gesture)));
        }
        assert_eq!(key(KeyCode::Char('b'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::NONE), None);
    }
}
