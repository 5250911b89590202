#![doc = include_str!("../README.md")]

mod access;
mod api_keys;
mod body;
mod connections;
mod error;
mod inference_protocol;
mod listener;
mod metrics;
mod options;
mod page;
mod problem;
mod queue;
mod records;
mod requests;
mod routes;
mod runner;
mod served_model;
mod server;
mod state;
mod stop_signal;
mod uploads;
mod work;
mod work_error;

pub use api_keys::ApiKeys;
pub use error::ServeError;
pub use listener::listen;
pub use options::ServeOptions;
pub use served_model::ServedModel;
pub use server::{Ended, Server};
