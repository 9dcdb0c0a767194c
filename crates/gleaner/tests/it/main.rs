//! Gleaner through its edge: the binary run as a user runs it, against a
//! scripted web on loopback.

mod bad_input;
mod crawl;
mod demo;
mod recrawl;
mod resume;
mod search;
mod support;
mod tidy;
