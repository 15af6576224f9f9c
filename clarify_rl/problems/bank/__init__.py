"""The procedural problem bank: families of small programming problems, made of facts that have options."""
