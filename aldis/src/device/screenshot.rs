//! The panel as a file, which is always that of a whole picture.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread::{self, JoinHandle};

use aldis_panel::png::{self, Style};
use aldis_panel::{Picture, Shared};

use crate::panel::Sight;

/// A thread that saves the panel, so that no disk keeps the device waiting.
pub struct Screenshots {
    wake: SyncSender<()>,
    thread: JoinHandle<Result<(), String>>,
}

impl Screenshots {
    /// Saves the panel as it is, and from now on when it has changed.
    pub fn start(panel: Shared, rotated: bool, file: PathBuf) -> Result<Self, String> {
        let mut album = Album {
            panel,
            rotated,
            file,
        };
        album.save().map_err(|error| album.told(&error))?;
        let (wake, woken) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("screenshots".into())
            .spawn(move || album.keep(&woken))
            .map_err(|error| format!("cannot start: {error}"))?;
        Ok(Self { wake, thread })
    }

    /// The panel may have changed.
    pub fn wake(&self) {
        // What waits to be looked at already is as good.
        let _ = self.wake.try_send(());
    }

    /// Saves the last picture; an error if that did not succeed.
    pub fn finish(self) -> Result<(), String> {
        drop(self.wake);
        let failed = "the thread that saves screenshots has failed";
        self.thread.join().unwrap_or(Err(failed.to_owned()))
    }
}

struct Album {
    panel: Shared,
    rotated: bool,
    file: PathBuf,
}

impl Album {
    fn keep(&mut self, woken: &Receiver<()>) -> Result<(), String> {
        let mut last = None;
        let mut failed = false;
        while woken.recv().is_ok() {
            let picture = self.picture();
            if last.as_ref() == Some(&picture) {
                continue;
            }
            match save(&picture, &self.file) {
                Ok(()) => {
                    last = Some(picture);
                    failed = false;
                }
                Err(error) if !failed => {
                    failed = true;
                    tracing::warn!("{}", self.told(&error));
                }
                Err(_) => {}
            }
        }
        // Even if it is the same: somebody may have removed the file.
        self.save().map_err(|error| self.told(&error))
    }

    fn picture(&self) -> Picture {
        Sight::of(&self.panel.lock(), self.rotated).picture
    }

    fn save(&self) -> io::Result<()> {
        save(&self.picture(), &self.file)
    }

    fn told(&self, error: &io::Error) -> String {
        let file = self.file.display();
        format!("the screenshot {file} cannot be saved: {error}; name another with `--screenshot`")
    }
}

/// Writes it beside the file, and then puts it in the file's place.
fn save(picture: &Picture, file: &Path) -> io::Result<()> {
    let mut beside: OsString = file.as_os_str().to_owned();
    beside.push(".new");
    let saved =
        png::write(picture, Style::FRAMED, &beside).and_then(|()| fs::rename(&beside, file));
    if saved.is_err() {
        let _ = fs::remove_file(&beside);
    }
    saved
}
