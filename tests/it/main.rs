mod golden;
mod rules;
mod tidy;
mod transport;
