mod golden;
mod rules;
mod tidy;
