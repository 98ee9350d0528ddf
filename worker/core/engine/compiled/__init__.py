"""The compiled engine: a chart's structure as tables, its code as functions, made once and looked up at every step.

| module | owns |
|---|---|
| `tables` | the structure: who is entered, left and settled in which order; what is enabled where |
| `kernel` | one macrostep over the tables; it knows no code |
| `plans` | what an event does in a configuration, as a whole: the plain macrostep is looked up and run |
| `source`, `straight` | the same as one Python function each, for plain code on plain values; the rest is the scope's |
| `pieces`, `scope` | a chart's code, and the namespace it runs in |
| `program` | `CompiledEngine`: programs for the step, from snapshot to snapshot |
| `interpreter` | `CompiledInterpreter`: the same for any sismic statechart, used as sismic's interpreter is |
"""
