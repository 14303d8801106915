//! The terminal: drawn by one thread, read by another, so that neither a slow terminal nor one
//! that has vanished keeps the device waiting.

use std::io::{self, Stdout, stdout};
use std::panic;
use std::sync::mpsc::{self, SyncSender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::{Frame, Terminal};
use tokio::sync::mpsc::UnboundedSender;

use super::model::Model;
use super::view::{self, Looks};

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
    Toggle,
    /// Nobody is there any more.
    Gone,
    /// Drawing has panicked.
    Broken,
}

/// A terminal that shows the readout.
pub struct Screen {
    wake: SyncSender<()>,
}

impl Screen {
    /// Takes the terminal and shows the model until the end.
    pub fn start(
        model: Arc<Mutex<Model>>,
        start: Instant,
        looks: Looks,
        wishes: UnboundedSender<Wish>,
    ) -> io::Result<Self> {
        restore_on_panic();
        let terminal = take()?;
        let (wake, woken) = mpsc::sync_channel(1);
        let gone = Gone(wishes.clone());
        let drawing = thread::Builder::new().name(SCREEN.into()).spawn(move || {
            let _gone = gone;
            draw(terminal, &woken, &model, start, looks);
        });
        let waker = wake.clone();
        let reading = thread::Builder::new().name("keys".into()).spawn(move || {
            read(&wishes, || {
                let _ = waker.try_send(());
            });
        });
        match drawing.and(reading) {
            Ok(_) => Ok(Self { wake }),
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

/// The model, whatever happened to another thread.
pub fn lock(model: &Mutex<Model>) -> MutexGuard<'_, Model> {
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

fn draw(
    mut terminal: Terminal<CrosstermBackend<Stdout>>,
    woken: &mpsc::Receiver<()>,
    model: &Mutex<Model>,
    start: Instant,
    looks: Looks,
) {
    loop {
        let mut picture = lock(model).clone();
        picture.now = start.elapsed();
        {
            let ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
            let draw = |frame: &mut Frame<'_>| view::draw(frame, &picture, looks);
            if !*ours || terminal.draw(draw).is_err() {
                return;
            }
        }
        thread::sleep(FRAME);
        if woken.recv_timeout(BEAT) == Err(mpsc::RecvTimeoutError::Disconnected) {
            return;
        }
    }
}

fn read(wishes: &UnboundedSender<Wish>, resized: impl Fn()) {
    while let Ok(event) = event::read() {
        match event {
            Event::Key(key) if key.kind == KeyEventKind::Press => {
                let Some(wish) = wish(key) else { continue };
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
fn wish(key: KeyEvent) -> Option<Wish> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if control => Some(Wish::Quit),
        _ if control => None,
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Wish::Quit),
        KeyCode::Char(' ' | 'l' | 'L') => Some(Wish::Toggle),
        _ => None,
    }
}

fn take() -> io::Result<Terminal<CrosstermBackend<Stdout>>> {
    enable_raw_mode()?;
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

    /// The way out that the readout names, or that everybody tries, would not be one.
    #[test]
    fn keys_do_what_the_readout_says() {
        let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
        for code in [KeyCode::Char('q'), KeyCode::Esc] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Wish::Quit));
        }
        let control_c = key(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(control_c, Some(Wish::Quit));
        for code in [KeyCode::Char(' '), KeyCode::Char('l')] {
            assert_eq!(key(code, KeyModifiers::NONE), Some(Wish::Toggle));
        }
        assert_eq!(key(KeyCode::Char('l'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::NONE), None);
    }
}
