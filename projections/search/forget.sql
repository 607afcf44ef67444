-- In whichever schema the rows are: live ones, those of a rebuild or former ones.
SELECT forget($1, $2)
