"""What several lessons use: the scheduler that they build, runs that end, rows of bars.

    grown              the scheduler that lessons 02, 05 and 06 build, in four steps
    watched            a trace of it, or of generators that are stepped by hand
    simulated_select   what select.select is, for simulated sockets
    trial              a run of a learner's fibers that ends, whatever they do
    overloaded_server  a server in simulated time that gets more requests than it can answer
    own_thread         a call where no loop of asyncio runs yet
    palette            the colours of the lessons' figures
    rows               a few fibers drawn large, with the looks of `plot_timeline`
    stepper            where every fiber was after any event of a trace
    concepts           the twelve questions of lessons 00 and 15

No module here imports a lesson.
"""
