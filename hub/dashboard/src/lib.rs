//! The dashboard: what a browser sees of an installation.
