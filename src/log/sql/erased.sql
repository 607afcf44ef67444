SELECT x.position FROM public.erased AS x
