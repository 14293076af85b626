//! Simulated meshes: from options or a scenario to plans, over many seeds, and what came of them in words,
//! as JSON and as a picture.

pub(crate) mod many;
pub(crate) mod outcome;
pub(crate) mod scenario;
pub(crate) mod settings;
pub(crate) mod story;
pub(crate) mod svg;
