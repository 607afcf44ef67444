SELECT max(position) FROM log
