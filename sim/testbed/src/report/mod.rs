//! What people read: lines on a screen, and a page that explains a run.

pub mod marks;
pub mod page;
pub mod screen;
pub mod timeline;
pub mod wrap;
