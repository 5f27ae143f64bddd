"""What stands before Django, so that nobody can occupy its threads.

- `gate.py`: what nobody waits for, what is too much, and logins that are only guesses are refused here.
- `lanes.py`: how many requests run, and how many wait.
- `address_throttle.py`: failed logins of one address. `name_lockout.py`: wrong passwords for one name.
- `errors.py`: what Django answers when it has no answer.
"""
