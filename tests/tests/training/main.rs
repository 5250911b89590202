//! Trainings follow the same loops in Python.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

mod loops;
mod schedules;
