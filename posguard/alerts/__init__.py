"""How alerts reach people: from the outbox into messages by route, and by Slack, webhook or e-mail out of the house."""
