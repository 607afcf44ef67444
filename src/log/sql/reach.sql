SELECT (SELECT coalesce(max(position), 0) FROM event) AS head, (SELECT x.position FROM public.erased AS x) AS erased
