//! The server on a port of its own, in this process, against a real database; and the binary itself.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a failure here is a failed test, and the binary is a process of its own"
)]

adjutant_testkit::launcher!();

mod account;
mod agui;
mod agui_content;
mod agui_questions;
mod ask;
mod attacks;
mod binary;
mod boot;
mod branches;
mod byok;
mod chat_terminal;
mod cli_completions;
mod cli_init;
mod compact;
mod consent_rest;
mod credentials;
mod doctor;
mod doors;
mod estate;
mod export;
mod files;
mod files_wire;
mod folders;
mod house;
mod keys;
mod limits_doors;
mod luck_database;
mod luck_input;
mod luck_model;
mod luck_signals;
mod luck_tools;
mod made;
mod matrix;
mod model_list;
mod model_tests;
mod models;
mod obedient;
mod openai_answers;
mod openai_failures;
mod openai_files;
mod openai_peers;
mod openai_support;
mod openai_threads;
mod openai_tools;
mod openapi;
mod own_keys;
mod peers;
mod profiles;
mod proof_browser;
mod proof_crash;
mod proof_injection;
mod proof_real_model;
mod proof_schemathesis;
mod replicas;
mod rest;
mod revising;
mod run_limits;
mod run_list;
mod said;
mod search;
mod sent;
mod server;
mod servers;
mod sessions;
mod steering;
mod temporary;
mod terminal;
mod thinking;
mod thread_costs;
mod threads;
mod titles;
mod ui;
mod under_way;
mod waiting_messages;
mod wires;
mod ws_ag_ui;
mod ws_approvals;
mod ws_chat;
mod ws_cuts;
mod ws_ends;
mod ws_refusals;
mod ws_runs;
mod ws_support;
mod ws_transcript;
