"""What several lessons use: a toy scheduler, runs that end, rows of bars, the twelve questions.

    toy                the scheduler of lesson 02 as a class, to which lessons 05 and 06 add
    trial              a run of a learner's fibers that ends, whatever they do
    overloaded_server  a server in simulated time that gets more requests than it can answer
    own_thread         a call where no loop of asyncio runs yet
    palette            the colours of the lessons' figures
    rows               a few fibers drawn large, with the looks of `plot_timeline`
    stepper            where every fiber was after any event of a trace
    concepts           the twelve questions of lessons 00 and 15

No module here imports a lesson.
"""
