"""From records to tables and ROC curves. Nothing here trains or imports torch."""
