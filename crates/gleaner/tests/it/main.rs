//! Gleaner through its edge: the binary run as a user runs it, against a
//! scripted web on loopback.

#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod ask;
mod ask_view;
mod bad_input;
mod balancer;
mod bench;
mod browser;
mod chaos;
mod crawl;
mod dashboard;
mod demo;
mod deploy;
mod deployed_metrics;
mod embedding;
mod eval_summaries;
mod event_schema;
mod events;
mod fields;
mod http;
mod llm;
mod memory;
mod migrate;
mod mock_model;
mod model_limits;
mod opensearch;
mod postgres;
mod proxy;
mod raw;
mod receiver;
mod record_rules;
mod records;
mod recrawl;
mod redis;
mod relay;
mod resume;
mod rolling;
mod scaling;
mod search;
mod search_tables;
mod serve;
mod shards;
mod stream;
mod summaries;
mod summaries_by_policy;
mod support;
mod tasks;
mod tenants;
mod tidy;
mod tools;
mod watching;
mod webdriver;
mod webhook_care;
mod webhooks;
